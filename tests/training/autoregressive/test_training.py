"""A training on codes: equal on any number of ranks and after a resume, and what it refuses."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from manifests import ClipmillError
from tests.training.autoregressive.toy_codes import TINY, toy_clip, write_codes
from training.autoregressive.model_file import load_token_model
from training.callbacks.loss_curve import read_loss_curve
from training.cli import main
from training.errors import CheckpointError, LatentMismatchError, LayoutError, SettingError
from training.evaluation.evaluate_tokens import evaluate_tokens
from training.model import read_model_info
from training.networks.autoregressive.config import AUTOREGRESSIVE_CONFIGS
from training.recipes.autoregressive.train import AutoregressiveResult, train_autoregressive

OnRanks = Callable[..., str]
RANKS = Path(__file__).with_name("training_ranks.py")
SHORT: dict[str, Any] = {
    "batch_size": 4,
    "warmup_steps": 2,
    "lr": 1e-2,
    "steps": 7,
    "checkpoint_interval": 3,
    "conditional_frames": (0.5, 0.5),
    "image_share": 0.25,
    "embedding_dropout": 0.1,
    "num_threads": 1,
    "quiet": True,
}
ONE_CODEBOOK = {"codebook_size": 40}  # of few ids, so that steps are short


@pytest.fixture(scope="module", autouse=True)
def small_network() -> Iterator[None]:
    """The network tiny is smaller in this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(AUTOREGRESSIVE_CONFIGS, "tiny", TINY)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Videos and images to train on, and held-out videos."""
    folder = tmp_path_factory.mktemp("codes")
    videos = {f"clip{n:03d}": toy_clip(n) for n in range(10)}
    images = {f"image{n:03d}": toy_clip(n, (1, 2, 3)) for n in range(4)}
    held_out = {f"held{n:03d}": toy_clip(100 + n) for n in range(5)}
    return {
        "data": [
            write_codes(folder / "latents-train/videos.tar", videos, **ONE_CODEBOOK),
            write_codes(folder / "latents-train/images.tar", images, **ONE_CODEBOOK),
        ],
        "validation_data": [write_codes(folder / "latents-validation/videos.tar", held_out, **ONE_CODEBOOK)],
    }


@pytest.fixture(scope="module")
def whole(
    small_network: None, data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AutoregressiveResult:
    """Seven steps without interruption, on one rank. Tests do not change its folder."""
    return train_autoregressive({**data, **SHORT}, tmp_path_factory.mktemp("whole"))


def losses(work: Path) -> list[float]:
    return [line["loss"] for line in read_loss_curve(work / "curve.jsonl")]


def test_a_training_that_resumes_in_the_middle_has_the_same_bits(
    whole: AutoregressiveResult, data: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ClipmillError, match="asked to stop"):
        train_autoregressive({**data, **SHORT}, tmp_path, stop_requested=iter([0, 0, 0, 0, 1]).__next__)
    train_autoregressive({**data, **SHORT}, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == whole.model.read_bytes()
    assert losses(tmp_path) == losses(whole.model.parent)


def test_the_model_file_evaluates_as_the_training_did(
    whole: AutoregressiveResult, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = whole.model.parent
    result = evaluate_tokens(folder, data["validation_data"], num_threads=1)
    assert whole.validation is not None
    assert result.cross_entropy == pytest.approx(whole.validation.cross_entropy, abs=1e-5)
    assert result.frames[1].copy < result.frames[1].unigram
    codes = str(Path(data["data"][0][0]).parents[1])
    assert main(["evaluate", "--model", str(folder), "--data", codes, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["cross_entropy"] == pytest.approx(result.cross_entropy, abs=1e-5)
    model, info = load_token_model(folder)
    assert info.training["steps"] == 7
    assert model.network.vocab_size == 40
    with pytest.raises(CheckpointError, match="not a diffusion model"):
        read_model_info(folder)


def test_a_training_on_two_ranks_has_the_losses_of_one_and_resumes_on_another_number(
    whole: AutoregressiveResult, data: dict[str, Any], on_ranks: OnRanks, tmp_path: Path
) -> None:
    sharded = {**data, **SHORT, "work": str(tmp_path / "sharded")}
    accumulated = {**data, **SHORT, "work": str(tmp_path / "resumed"), "steps": 4, "dp_replicate": 2}
    on_ranks(2, RANKS, json.dumps(sharded), json.dumps(accumulated))
    train_autoregressive({**data, **SHORT, "grad_accum_steps": 2}, tmp_path / "resumed")
    expected = load_file(whole.model)
    for name in ("sharded", "resumed"):
        assert losses(tmp_path / name) == pytest.approx(losses(whole.model.parent), rel=1e-4)
        got = load_file(tmp_path / name / "model.safetensors")
        assert {k for k in got if (got[k] - expected[k]).abs().max() > 2e-3} == set()


def test_a_training_starts_from_the_weights_of_another(
    whole: AutoregressiveResult, data: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**data, **SHORT, "init_from": str(whole.model.parent), "steps": 2, "ema": "none"}
    result = train_autoregressive({**settings, "lr": 1e-9}, tmp_path)
    expected, got = load_file(whole.model), load_file(result.model)
    assert all(torch.allclose(got[name], expected[name], atol=1e-6) for name in expected)
    train_autoregressive({**settings, "steps": 3}, tmp_path)  # resumes


def refused(settings: dict[str, Any], work: Path, error: type[ClipmillError], message: str) -> None:
    with pytest.raises(error, match=message):
        train_autoregressive({**SHORT, **settings}, work)


def test_codes_that_do_not_fit_are_refused_by_id_and_shard(data: dict[str, Any], tmp_path: Path) -> None:
    clips = {"good": toy_clip(0), "bad": toy_clip(1).int().fill_(41).to(torch.uint16)}
    shard = write_codes(tmp_path / "ids.tar", clips, **ONE_CODEBOOK)
    refused({"data": [shard]}, tmp_path / "out", LatentMismatchError, "(?s)code 41 is not one of 0..39.*bad")
    other = write_codes(tmp_path / "other.tar", clips, tokenizer_digest="d2", codebook_size=64000)
    refused({"data": [*data["data"], other]}, tmp_path / "out", LatentMismatchError, "digest is d2")
    refused({"data": data["data"], "validation_data": [other]}, tmp_path / "out", LatentMismatchError, "d2")
    mixed = write_codes(tmp_path / "mixed.tar", clips, {"tokenizer_digest": "d3"}, **ONE_CODEBOOK)
    refused({"data": [mixed]}, tmp_path / "out", LatentMismatchError, "another tokenizer than its index")
    plain = write_codes(tmp_path / "plain.tar", clips, codebook_size=0)
    refused({"data": [plain]}, tmp_path / "out", LatentMismatchError, "trained on codes")
    unknown = write_codes(tmp_path / "unknown.tar", clips, tokenizer_digest="d4", codebook_size=64000)
    settings = {"data": [unknown], "token_embedding": "fsq"}
    refused(settings, tmp_path / "out", SettingError, "levels of the codes are not known")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"context_parallel": 2}, LayoutError, "cannot share the tokens of a clip"),
        ({"batch_size": 3, "grad_accum_steps": 2}, LayoutError, "cannot be divided equally"),
        ({"model": "4b", "conditional_frames": (1.0,)}, SettingError, "has no <bov>"),
        ({"model": "4b", "conditional_frames": (0.0, 1.0)}, SettingError, "images"),
        ({"embedding_dropout": 1.0}, SettingError, "drops all tokens"),
        ({"init_from": "x", "model": "small"}, CheckpointError, "no model here"),
        ({"conditional_frames": ()}, SettingError, "must be odds"),
        ({"token_embedding": "rows"}, SettingError, "choose one of table, fsq"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, Any], error: type[ClipmillError], message: str, data: dict[str, Any], tmp_path: Path
) -> None:
    refused({**data, **settings}, tmp_path, error, message)


def test_the_command_trains_and_lists_its_knobs(
    data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = str(Path(data["data"][0][0]).parents[1])
    arguments = ["train", "autoregressive", "--data", codes, "--out", str(tmp_path), "steps=2", "quiet=true"]
    assert main([*arguments, "batch_size=2", "num_threads=1"]) == 0
    out = capsys.readouterr().out
    assert "nats/token · unigram" in out
    assert main(["train", "autoregressive", "--list-knobs"]) == 0
    assert "token_embedding=table" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments, "--stages", "stages.yaml"])
