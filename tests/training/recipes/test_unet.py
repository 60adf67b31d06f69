"""A 3-D U-Net is a model of the recipe: it trains, resumes, samples, exports and starts a training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.callbacks.loss_curve import read_loss_curve
from training.errors import LayoutError, SettingError
from training.model import load_model, read_model_info
from training.networks.unet3d import UNET_CONFIGS, UNet3D, UNet3DConfig
from training.recipes.export import export
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train
from training.tokenizers import load_tokenizer

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]
DDPM: dict[str, Any] = {
    "model": "unet3d-tiny",
    "path": "ddpm",
    "preconditioning": "epsilon",
    "loss_weight": "network_output",
    "batch_size": 2,
    "warmup_steps": 2,
    "lr": 2e-3,
    "num_threads": 1,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    config = UNet3DConfig(8, 1, attention_head_dim=8, text_embed_dim=16, norm_num_groups=4)
    monkeypatch.setitem(UNET_CONFIGS, "unet3d-tiny", config)


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    """Clips of two shapes, one of which no stride of the network divides."""
    digest = load_tokenizer("small").digest
    return [
        make_shard("a/000000", [f"clip{n:03d}" for n in range(6)], tokenizer_digest=digest),
        make_shard(
            "b/000000", [f"clip{n:03d}" for n in range(6, 10)], shape=(16, 1, 5, 3), tokenizer_digest=digest
        ),
    ]


@pytest.mark.slow
def test_it_trains_resumes_samples_exports_and_starts_a_training(
    data: list[tuple[str, str]], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    train({"data": data, "steps": 1, **DDPM}, work)
    result = train({"data": data, "validation_data": data[:1], "steps": 2, **DDPM}, work)
    whole = train({"data": data, "steps": 2, **DDPM}, tmp_path / "whole")
    assert result.model.read_bytes() == whole.model.read_bytes()
    assert result.validation is not None
    assert result.validation.clips == 6
    metadata = json.loads(result.model.with_name("config.json").read_text())
    assert metadata["network"]["_class_name"] == "UNet3D"
    world, info = load_model(result.model)
    assert isinstance(world.network, UNet3D)
    assert info == read_model_info(work)

    request = SamplingRequest(prompt=[""], sampler="ddim", num_inference_steps=50, height=40, num_threads=1)
    videos = sample(result.model, request)
    assert videos.videos.shape[2:] == (40, 48, 3)

    exported = export(work, tmp_path / "exported")
    assert exported.path.read_bytes() == result.model.read_bytes()
    with pytest.raises(SettingError, match="diffusers has no class for the network of this model, a UNet3D"):
        export(work, tmp_path / "diffusers", "diffusers")

    settings = {k: v for k, v in DDPM.items() if k not in ("model", "path", "preconditioning")}
    settings |= {"data": data, "steps": 1, "lr": 1e-30, "init_from": str(work)}
    fine_tuned = train(settings, tmp_path / "fine-tuned")
    assert read_model_info(fine_tuned.model).diffusion == info.diffusion
    weights = load_file(fine_tuned.model)
    for name, weight in load_file(result.model).items():
        torch.testing.assert_close(weights[name], weight)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet3d-tiny", pytest.param("convrnn-nano", marks=pytest.mark.slow)])
def test_shards_give_the_losses_and_gradients_of_one_rank(
    on_ranks: OnRanks, data: list[tuple[str, str]], model: str, tmp_path: Path
) -> None:
    settings = {"data": data, "steps": 2, **DDPM, "model": model}
    one = train(settings, tmp_path / "one")
    two = {**settings, "activation_checkpointing": "selective", "work": str(tmp_path / "two")}
    script = Path(__file__).with_name("unet_ranks.py")
    expected = [[line["loss"], line["grad_norm"]] for line in read_loss_curve(one.loss_curve)]
    (got,) = json.loads(on_ranks(2, script, json.dumps(two)))
    assert got == [pytest.approx(each, rel=1e-5) for each in expected]


@pytest.mark.parametrize(
    "process",
    [
        {"path": "rectified_flow", "preconditioning": "edm", "loss_weight": "velocity"},
        {"path": "rectified_flow", "preconditioning": "velocity", "conditional_frames": (0.5, 0.5),
         "condition_timestep": 1e-4, "loss_weight": "velocity"},
        {"path": "edm", "preconditioning": "edm"},
        {"path": "cosine", "preconditioning": "edm", "loss_weight": "min_snr"},
        {"path": "ddpm_cosine", "preconditioning": "epsilon", "text_encoder": "none"},
    ],
)  # fmt: skip
def test_each_path_trains_it(data: list[tuple[str, str]], tmp_path: Path, process: dict[str, Any]) -> None:
    result = train({"data": data, "steps": 2, **DDPM, **process}, tmp_path)
    assert 0 < result.loss_last < 50


def test_it_cannot_share_the_tokens_of_a_clip(data: list[tuple[str, str]]) -> None:
    from training.recipes.config import TrainingSettings
    from training.recipes.layout import check_layout

    settings = TrainingSettings(**{k: v for k, v in DDPM.items() if k != "quiet"}, context_parallel=2)
    with pytest.raises(LayoutError, match="a UNet3D cannot share the tokens of a clip among 2 ranks"):
        check_layout(settings, 1, [(16, 1, 5, 3)])
