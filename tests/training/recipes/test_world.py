"""Training gives the same model on any number of ranks and after a resume; its file is loaded strictly."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from training.callbacks.loss_curve import read_loss_curve
from training.cli import main, parse_knobs
from training.diffusion.config import DiffusionConfig
from training.errors import CheckpointError, LatentMismatchError, LayoutError, SettingError, TrainingError
from training.evaluation.evaluate import evaluate
from training.model import METADATA_KEY, load_model, read_model_info
from training.networks.config import MODEL_CONFIGS
from training.objectives.denoising import Denoising
from training.recipes.export import export
from training.recipes.world import TrainingResult, train
from training.tokenizers import tokenizer_digest
from training.world_model import WorldModel

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]
SHORT: dict[str, Any] = {
    "batch_size": 4,
    "warmup_steps": 2,
    "lr": 2e-3,
    "checkpoint_interval": 3,
    "num_threads": 1,
    "quiet": True,
}
FIRST_STAGE = "- {steps: 2, max_latent_frames: 2}\n"
STAGES = FIRST_STAGE + "- {steps: 2, lr: 5e-4, tokens_per_batch: 100, flow_shift: 2}\n"


@pytest.fixture(scope="module")
def data(make_module_shard: MakeShard) -> list[tuple[str, str]]:
    """Clips of two shapes; 18 and 12 tokens each."""
    made = {"tokenizer_digest": tokenizer_digest("small")}
    return [
        make_module_shard("a/000000", [f"clip{n:03d}" for n in range(6)], **made),
        make_module_shard("b/000000", [f"clip{n:03d}" for n in range(6, 10)], shape=(16, 2, 6, 4), **made),
    ]


def losses(result: TrainingResult) -> list[float]:
    return [line["loss"] for line in read_loss_curve(result.loss_curve)]


@pytest.fixture(scope="module")
def whole(data: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """Seven steps without interruption, on one rank. Tests do not change its folder."""
    return train({"data": data, "steps": 7, **SHORT}, tmp_path_factory.mktemp("whole"))


def test_any_layout_of_ranks_gives_the_same_losses(
    on_ranks: OnRanks, data: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stages, of which one training ends at the border and one is interrupted after it, and resumes."""
    shown: dict[str, Any] = {"validation_data": data, "validation_interval": 2, "validation_max_clips": 7}
    shown |= {"preview_interval": 2, "preview_num_inference_steps": 1}
    staged = {"data": data, "stages": STAGES, **SHORT}
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", replace(MODEL_CONFIGS["tiny"], num_layers=1))
    alone = train({**staged, **shown}, tmp_path / "alone")
    runs: list[dict[str, Any]] = [
        {**shown, "stages": FIRST_STAGE, "work": "data"},
        {**shown, "work": "data"},
        {"dp_replicate": 2, "grad_accum_steps": 2, "work": "replicate"},
        {**shown, "context_parallel": 2, "activation_checkpointing": "full", "work": "context", "fail_at": 3},
    ]
    runs = [{**staged, **run, "work": str(tmp_path / run["work"])} for run in runs]
    on_ranks(2, Path(__file__).with_name("world_ranks.py"), *map(json.dumps, runs))
    lines = read_loss_curve(alone.loss_curve)
    assert len({line["loss"] for line in lines}) == 4
    assert all("loss_by_mode/text_to_video" in line for line in lines)
    for name in ("data", "replicate", "context"):
        curve = read_loss_curve(tmp_path / name / "curve.jsonl")
        for line, expected in zip(curve, lines, strict=True):
            compared = {key: line[key] for key in expected if "loss" in key or key == "lr"}
            assert compared == pytest.approx({key: expected[key] for key in compared}, rel=1e-5)
            # Adam hides a gradient of the wrong scale, but its norm does not
            assert line["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
    for name in ("data", "context"):
        _check_shown(tmp_path / name, tmp_path / "alone")


def _check_shown(work: Path, expected: Path) -> None:
    """The files of validation and previews are those of another training, up to rounding."""
    import av

    evaluations, of_one_rank = (
        [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]
        for folder in (work, expected)
    )
    assert [each["step"] for each in evaluations] == [2, 4]
    for got, wanted in zip(evaluations, of_one_rank, strict=True):
        assert got.keys() == wanted.keys()
        for name, value in wanted.items():
            assert got[name] == pytest.approx(value, rel=1e-4)
    videos = sorted(file.name for file in (expected / "previews").iterdir())
    assert len(videos) == 9  # two of each of four clips, and the prompts
    assert sorted(file.name for file in (work / "previews").iterdir()) == videos
    for name in videos[1:]:
        frames = []
        for folder in (work, expected):
            with av.open(str(folder / "previews" / name)) as container:
                frames.append([f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)])
        assert abs(np.array(frames[0]) - np.array(frames[1])).max() <= 4, name


def test_an_interrupted_training_resumes_to_the_same_bytes(
    data: list[tuple[str, str]], whole: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Denoising.__call__

    def interrupt(self: Any, batch: Any, step: int) -> Any:
        if step == 5:
            raise KeyboardInterrupt
        return original(self, batch, step)

    with monkeypatch.context() as patched:
        patched.setattr(Denoising, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train({"data": data, "steps": 7, **SHORT}, tmp_path / "part")
    again = train({"data": data, "steps": 7, **SHORT}, tmp_path / "part")
    assert losses(again) == losses(whole)
    assert again.model.read_bytes() == whole.model.read_bytes()
    assert (again.loss_first, again.loss_last, again.steps) == (whole.loss_first, whole.loss_last, 7)


def test_finished_steps_do_not_run_again(data: list[tuple[str, str]], whole: TrainingResult) -> None:
    expected = whole.model.read_bytes()
    whole.model.unlink()  # the engine moves it away
    again = train({"data": data, "steps": 7, **SHORT}, whole.model.parent)
    assert again == whole
    assert again.model.read_bytes() == expected


def test_the_exported_file_equals_that_of_the_training(whole: TrainingResult, tmp_path: Path) -> None:
    assert main(["export", "--from", str(whole.model.parent), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole.model.read_bytes()
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text()) == read_model_info(whole.model).to_json()
    )


def test_a_model_file_is_loaded_strictly(whole: TrainingResult, tmp_path: Path) -> None:
    model, info = load_model(whole.model.parent)
    assert isinstance(model, WorldModel)
    assert sum(p.numel() for p in model.parameters()) == whole.parameters
    assert info.latents["digest"] == tokenizer_digest("small")
    assert info.latent_shapes == [(16, 3, 4, 6), (16, 2, 6, 4)]
    weights = load_file(whole.model)
    metadata = {METADATA_KEY: json.dumps(info.to_json())}
    for change, message in (
        ({"extra": torch.zeros(1)}, "unknown: extra"),
        ({"network.proj_out.weight": torch.zeros(2, 2)}, "another shape: network.proj_out.weight"),
    ):
        save_file(weights | change, tmp_path / "odd.safetensors", metadata=metadata)
        with pytest.raises(CheckpointError, match=message):
            load_model(tmp_path / "odd.safetensors")
    weights.pop("network.proj_out.weight")
    save_file(weights, tmp_path / "odd.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"missing: network\.proj_out"):
        load_model(tmp_path / "odd.safetensors")


@pytest.mark.slow
def test_training_lowers_the_loss(data: list[tuple[str, str]], tmp_path: Path) -> None:
    """On the same noise and the same clips, so the result does not depend on chance."""
    first, later = (
        evaluate(
            train({"data": data, **SHORT, "steps": steps}, tmp_path / f"{steps}").model, data, max_clips=3
        ).loss
        for steps in (1, 24)
    )
    assert later < 0.9 * first


def test_a_trained_model_refuses_other_latents(
    whole: TrainingResult, make_shard: MakeShard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = make_shard("odd/000000", ["clip000"], tokenizer_digest="d2")
    Path(tmp_path / "list.txt").write_text(odd[0])
    assert main(["evaluate", "--model", str(whole.model), "--data", str(tmp_path / "list.txt")]) == 1
    assert f"digest is d2, but {tokenizer_digest('small')} in the model" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=rf"made with latents\.digest {tokenizer_digest('small')}"):
        train({"data": [odd], "steps": 9, **SHORT}, whole.model.parent)


def test_a_training_resumes_with_other_settings_and_data(
    whole: TrainingResult, data: list[tuple[str, str]], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = losses(whole)
    work = shutil.copytree(whole.model.parent, tmp_path / "work")
    changed = {**SHORT, "lr": 1e-4, "batch_size": 2, "quiet": False}
    again = train({"data": data[:1], "steps": 9, **changed}, work)
    assert losses(again)[:7] == before
    assert "resuming at step 7 with" in (printed := capfd.readouterr().err)
    assert "lr 0.0001 (was 0.002)" in printed
    assert "batch_size 2 (was 4)" in printed
    record = json.loads((work / "checkpoints" / "step-00000009" / "record.json").read_text())
    assert [entry["step"] for entry in record["history"]] == [0, 7]
    with pytest.raises(CheckpointError, match=r"diffusion\.preconditioning edm"):
        train({"data": data, "steps": 9, **SHORT, "preconditioning": "velocity"}, work)


@pytest.mark.parametrize(
    "settings",
    [
        {"preconditioning": "velocity", "conditional_frames": (0.5, 0.5), "condition_timestep": 1e-4},
        {"path": "edm", "loss_weight": "network_output", "sigma_data": 0.5},
        {"path": "edm", "preconditioning": "scaled_velocity"},
        {"path": "cosine", "loss_weight": "min_snr", "text_encoder": "none"},
        {"path": "ddpm", "preconditioning": "epsilon", "loss_weight": "network_output"},
    ],
)
def test_each_diffusion_process_trains_and_is_evaluated(
    data: list[tuple[str, str]], tmp_path: Path, settings: dict[str, Any]
) -> None:
    result = train({"data": data, "validation_data": data[:1], "steps": 2, **SHORT, **settings}, tmp_path)
    assert result.validation is not None
    assert result.validation.clips == 6
    assert 0 < result.validation.loss < 50
    assert f"the best linear prediction ({result.validation.linear_loss:.4f})" in result.validation.summary()


def test_a_network_that_knows_the_frame_rate_trains_on_mixed_ones(
    data: list[tuple[str, str]], make_shard: MakeShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = tokenizer_digest("small")
    mixed = [*data, make_shard("c/000000", ["clip010", "clip011"], fps=24.0, tokenizer_digest=digest)]
    with pytest.raises(LatentMismatchError, match="frame rates differ"):
        train({"data": mixed, "steps": 1, **SHORT}, tmp_path / "refused")
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", replace(MODEL_CONFIGS["tiny"], base_fps=24.0))
    result = train({"data": mixed, "validation_data": mixed, "steps": 1, **SHORT}, tmp_path / "mixed")
    assert result.validation is not None
    assert result.validation.clips == 12


def test_a_setting_without_a_meaning_is_refused(data: list[tuple[str, str]], tmp_path: Path) -> None:
    wide = replace(MODEL_CONFIGS["tiny"], crossattn_proj_in_channels=100_352)
    with torch.device("meta"), pytest.raises(SettingError, match="at most 4096"):
        WorldModel(wide, DiffusionConfig(), "byte_level")
    with pytest.raises(SettingError, match="flow_shift has no meaning on the path edm"):
        train({"data": data, **SHORT, "path": "edm", "flow_shift": 3.0}, tmp_path)
    with pytest.raises(SettingError, match="conditional_frames is"):
        train({"data": data, **SHORT, "conditional_frames": (0.0,)}, tmp_path)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": "huge"}, TrainingError, "no model 'huge'"),
        (
            {"batch_size": 3, "grad_accum_steps": 2},
            LayoutError,
            "3 clips cannot be divided equally among 1 ranks in 2",
        ),
        ({"context_parallel": 2}, LayoutError, "does not make 1 ranks"),
        ({"steps": 0}, TrainingError, "at least 1"),
        ({"data": []}, LatentMismatchError, "no latents"),
    ],
)
def test_impossible_settings_are_refused(
    data: list[tuple[str, str]],
    tmp_path: Path,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        train({"data": data, **SHORT, **settings}, tmp_path)


def test_knobs_are_parsed_to_their_types() -> None:
    arguments = ["steps=3", "model=small", "lr=2e-4", "activation_checkpointing=full"]
    arguments.append("conditional_frames=0.5,0.25,0.25")
    expected = {"steps": 3, "model": "small", "lr": 2e-4, "activation_checkpointing": "full"}
    expected["conditional_frames"] = (0.5, 0.25, 0.25)
    assert parse_knobs(arguments) == expected


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("stpes=3", "did you mean steps"),
        ("steps", "not KNOB=VALUE"),
        ("steps=few", "steps must be of type int"),
    ],
)
def test_a_wrong_knob_is_refused(argument: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        parse_knobs([argument])


@pytest.mark.slow
def test_an_uncertainty_head_trains_and_is_not_in_the_model(
    data: list[tuple[str, str]], tmp_path: Path
) -> None:
    settings = {**SHORT, "data": data, "uncertainty": True, "loss_scale": 2.0, "lr": 0.05}
    result = train({**settings, "steps": 4}, tmp_path / "whole")
    lines = read_loss_curve(result.loss_curve)
    assert lines[0]["loss"] == pytest.approx(2 * lines[0]["weighted_mse"])  # u begins at 0
    assert lines[-1]["loss"] != pytest.approx(2 * lines[-1]["weighted_mse"], rel=1e-3)
    assert not any("uncertainty" in name for name in load_model(result.model)[0].state_dict())
    train({**settings, "steps": 2}, tmp_path / "resumed")
    resumed = train({**settings, "steps": 4}, tmp_path / "resumed")
    assert resumed.model.read_bytes() == result.model.read_bytes()
    assert export(tmp_path / "resumed", tmp_path / "out").path.read_bytes() == result.model.read_bytes()
