"""Merged weights are the stated arithmetic, and models that mean something else are refused by field."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.cli import main
from training.diffusion.config import DiffusionConfig
from training.errors import CheckpointError, SettingError
from training.model import (
    METADATA_KEY,
    MODEL_FILE,
    ModelInfo,
    load_model,
    read_header,
    save_model,
    write_model_file,
)
from training.networks.config import VideoDiTConfig
from training.recipes.post_training.merge import MergeRequest, merge, merge_ties
from training.world_model import WorldModel

NETWORK = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=18,
    num_layers=1,
    channels=4,
    text_embed_dim=8,
    adaln_lora_dim=4,
    timestep_scale=1.0,
    mask_text=True,
)
INFO = ModelInfo(
    network=NETWORK,
    diffusion=DiffusionConfig(),
    text_encoder={"name": "byte_level", "version": 1},
    flow_shift=1.0,
    latents={"tokenizer": "small", "digest": "d1", "stride": [4, 8, 8], "channels": 4, "dtype": "float16"},
    fps=12.0,
    latent_shapes=[(4, 3, 4, 4)],
    training={"steps": 10},
)
MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """make_model("a", seed=1, fps=24.0) -> folder of a random model."""

    def make(name: str, seed: int, **changes: Any) -> Path:
        info = replace(INFO, **changes)
        rng = torch.Generator().manual_seed(seed)
        weights = {
            key: torch.randn(value.shape, generator=rng)
            for key, value in WorldModel(info.network, info.diffusion, "byte_level").state_dict().items()
        }
        save_model(tmp_path / name / MODEL_FILE, weights, info)
        return tmp_path / name

    return make


def test_a_soup_is_the_weighted_mean(
    make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [
        make_model(name, seed, flow_shift=shift) for name, seed, shift in (("a", 1, 5.0), ("b", 2, 1.0))
    ]
    out = tmp_path / "out"
    arguments = ["merge", "--models", *map(str, places), "--out", str(out)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{out / MODEL_FILE}\n"
    first, second = (load_file(place / MODEL_FILE) for place in places)
    merged = load_file(out / MODEL_FILE)
    assert all(torch.equal(merged[name], 0.5 * first[name] + 0.5 * second[name]) for name in first)
    _, info = load_model(out)
    assert (info.flow_shift, info.training["steps"]) == (5.0, 10)
    assert info.training["merge"]["weights"] == [0.5, 0.5]

    assert main([*arguments, "--weights", "3", "1"]) == 0
    merged = load_file(out / MODEL_FILE)
    name = "network.transformer_blocks.0.attn1.to_q.weight"
    torch.testing.assert_close(merged[name], 0.75 * first[name] + 0.25 * second[name])
    with pytest.raises(CheckpointError, match="would replace one of the models"):
        merge(MergeRequest(models=[places[0], out]), out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": replace(NETWORK, num_layers=2, adaln_lora_dim=8), "fps": 24.0},
            r"fps 24\.0 \(not 12\.0\), network\.adaln_lora_dim 8 \(not 4\), network\.num_layers 2 \(not 1\)",
        ),
        ({"latents": {**INFO.latents, "digest": "d2"}}, r"latents\.digest d2 \(not d1\)"),
        (
            {"latent_statistics": {"video": {"mean": [0.0]}}},
            r"latent_statistics\.video\.mean \[0\.0\] \(not miss",
        ),
        ({"text_encoder": {"name": "byte_level", "version": 2}}, r"text_encoder\.version 2 \(not 1\)"),
        ({"diffusion": DiffusionConfig(preconditioning="velocity")}, r"preconditioning velocity \(not edm\)"),
    ],
)
def test_models_that_differ_are_refused(
    make_model: MakeModel, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    places = [make_model("a", 1), make_model("b", 2, **changes)]
    with pytest.raises(CheckpointError, match=message):
        merge(MergeRequest(models=places), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": [Path("a")]}, "1 models to merge"),
        ({"weights": [1.0]}, "1 weights for 2 models"),
        ({"weights": [0.0, 0.0]}, "the weights are 0, 0"),
        ({"method": "mean"}, "no method 'mean'"),
        ({"method": "ties"}, "needs the base"),
        ({"base": Path("c")}, "soup has no base"),
        ({"density": 0.0}, "density is 0"),
    ],
)
def test_requests_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        MergeRequest(**{"models": [Path("a"), Path("b")], **changes})


def test_fields_that_an_older_file_lacks_have_their_defaults(make_model: MakeModel, tmp_path: Path) -> None:
    old, new = make_model("old", 1), make_model("new", 2)
    metadata = json.loads(read_header(old)[METADATA_KEY])
    for part, name in (("diffusion", "given_residual"), ("network", "concat_last_given")):
        assert metadata[part].pop(name) is False
    write_model_file(old / MODEL_FILE, load_file(old / MODEL_FILE), METADATA_KEY, metadata, is_writer=True)
    merged = merge(MergeRequest(models=[old, new]), tmp_path / "out")
    assert load_model(merged)[1].network == NETWORK


def test_ties_keeps_large_values_that_agree() -> None:
    first = torch.tensor([4.0, -3.0, 0.1, 2.0])
    second = torch.tensor([2.0, 5.0, 3.0, -0.2])
    merged = merge_ties([first, second], [0.5, 0.5], density=0.75)  # drops 0.1 and -0.2
    torch.testing.assert_close(merged, torch.tensor([3.0, 5.0, 3.0, 2.0]))


def test_ties_and_dare_of_one_direction_restore_it(make_model: MakeModel, tmp_path: Path) -> None:
    places = [make_model(name, 2) for name in ("a", "b")]
    base = make_model("base", 3)
    expected = load_file(places[0] / MODEL_FILE)
    for method in ("ties", "dare"):
        merge(MergeRequest(models=places, method=method, base=base, density=1.0), tmp_path / method)
        merged = load_file(tmp_path / method / MODEL_FILE)
        torch.testing.assert_close(merged, expected)
    request = MergeRequest(models=places, method="dare", base=base, density=0.25)
    first = merge(request, tmp_path / "first").read_bytes()
    assert merge(request, tmp_path / "second").read_bytes() == first
    start, end = load_file(base / MODEL_FILE), load_file(tmp_path / "first" / MODEL_FILE)
    name = "network.transformer_blocks.0.ff.net.0.proj.weight"
    moved, difference = end[name] - start[name], expected[name] - start[name]
    steps = (moved / difference).round(decimals=3).unique()  # 4 of density 0.25, for none, one or both models
    assert steps.tolist() == [0.0, 2.0, 4.0]
    assert float(moved.mul(difference).sum() / difference.square().sum()) == pytest.approx(1, abs=0.15)
