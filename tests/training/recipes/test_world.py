"""A world is trained alike at any layout of ranks, goes on after a stop, and its file is loaded strictly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.callbacks.loss_curve import read_curve
from training.cli import knobs_of, main
from training.errors import BadCheckpoint, LatentsDoNotFit, LayoutError, TrainingError
from training.model import KEY, load_model, read_model_info
from training.networks.video_dit import VideoDiT
from training.objectives.denoising import Denoising
from training.recipes.evaluation import evaluate
from training.recipes.world import Summary, run

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]
SHORT: dict[str, Any] = {"batch": 4, "warmup": 2, "rate": 2e-3, "save_every": 3, "threads": 1, "quiet": True}


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    """Clips of two shapes; 18 and 12 tokens each."""
    return [
        make_shard("a/000000", [f"clip{n:03d}" for n in range(6)]),
        make_shard("b/000000", [f"clip{n:03d}" for n in range(6, 10)], shape=(16, 2, 6, 4)),
    ]


def losses(summary: Summary) -> list[float]:
    return [line["loss"] for line in read_curve(summary.curve)]


@pytest.fixture
def whole(data: list[tuple[str, str]], tmp_path: Path) -> Summary:
    """Seven steps in one go, on one rank."""
    return run({"data": data, "steps": 7, **SHORT}, tmp_path / "whole")


def test_any_layout_gives_the_same_losses(
    on_ranks: OnRanks, data: list[tuple[str, str]], whole: Summary, tmp_path: Path
) -> None:
    layouts = [{}, {"replicate": 2, "accumulate": 2}, {"context": 2, "recompute": True}]
    asked = [
        {"data": data, "steps": 4, **SHORT, **layout, "work": str(tmp_path / f"{n}")}
        for n, layout in enumerate(layouts)
    ]
    said = json.loads(on_ranks(2, Path(__file__).with_name("world_ranks.py"), *map(json.dumps, asked)))
    lines = read_curve(whole.curve)[:4]  # Adam hides a gradient of the wrong length, but its norm does not
    for got in said:
        assert [loss for loss, _ in got] == pytest.approx([line["loss"] for line in lines], rel=1e-4)
        assert [norm for _, norm in got] == pytest.approx([line["grad_norm"] for line in lines], rel=1e-3)
    assert len(set(losses(whole))) == 7


def test_a_stopped_training_goes_on_to_the_same_bytes(
    data: list[tuple[str, str]], whole: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Denoising.__call__

    def killed(self: Any, batch: Any, step: int) -> Any:
        if step == 5:
            raise KeyboardInterrupt
        return counted(self, batch, step)

    with monkeypatch.context() as patched:
        patched.setattr(Denoising, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            run({"data": data, "steps": 7, **SHORT}, tmp_path / "part")
    again = run({"data": data, "steps": 7, **SHORT}, tmp_path / "part")
    assert losses(again) == losses(whole)
    assert again.model.read_bytes() == whole.model.read_bytes()
    assert (again.loss_first, again.loss_last, again.steps) == (whole.loss_first, whole.loss_last, 7)


def test_what_is_done_is_not_done_again(data: list[tuple[str, str]], whole: Summary) -> None:
    wanted = whole.model.read_bytes()
    whole.model.unlink()  # the engine moves it away
    again = run({"data": data, "steps": 7, **SHORT}, whole.model.parent)
    assert again == whole
    assert again.model.read_bytes() == wanted


def test_the_exported_file_is_that_of_the_training(whole: Summary, tmp_path: Path) -> None:
    assert main(["export", "--from", str(whole.model.parent), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole.model.read_bytes()
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text()) == read_model_info(whole.model).to_json()
    )


def test_a_model_file_is_loaded_strictly(whole: Summary, tmp_path: Path) -> None:
    network, told = load_model(whole.model.parent)
    assert isinstance(network, VideoDiT)
    assert sum(p.numel() for p in network.parameters()) == whole.parameters
    assert told.latents["digest"] == "d1"
    assert told.shapes == [(16, 3, 4, 6), (16, 2, 6, 4)]
    held = load_file(whole.model)
    words = {KEY: json.dumps(told.to_json())}
    for change, why in (
        ({"extra": torch.zeros(1)}, "unknown: extra"),
        ({"proj_out.weight": torch.zeros(2, 2)}, "another shape: proj_out.weight"),
    ):
        save_file(held | change, tmp_path / "odd.safetensors", metadata=words)
        with pytest.raises(BadCheckpoint, match=why):
            load_model(tmp_path / "odd.safetensors")
    held.pop("proj_out.weight")
    save_file(held, tmp_path / "odd.safetensors", metadata=words)
    with pytest.raises(BadCheckpoint, match="missing: proj_out"):
        load_model(tmp_path / "odd.safetensors")


def test_evaluating_tells_the_loss_by_level(
    data: list[tuple[str, str]], whole: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(Path(data[0][0]).parents[1])
    for _ in range(2):
        assert main(["evaluate", "--model", str(whole.model), "--data", folder, "--most", "3", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert first["clips"] == 3
    assert len(first["by_level"]) == 10
    assert first["loss"] == pytest.approx(sum(first["by_level"].values()) / 10)


def test_a_world_learns(data: list[tuple[str, str]], tmp_path: Path) -> None:
    """By the same noise on the same clips, so that luck plays no part."""
    first, later = (
        evaluate(run({"data": data, **SHORT, "steps": steps}, tmp_path / f"{steps}").model, data, most=3).loss
        for steps in (1, 24)
    )
    assert later < 0.9 * first


def test_other_latents_are_refused_by_a_trained_model(
    whole: Summary, make_shard: MakeShard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = make_shard("odd/000000", ["clip000"], tokenizer_digest="d2")
    Path(tmp_path / "list.txt").write_text(odd[0])
    assert main(["evaluate", "--model", str(whole.model), "--data", str(tmp_path / "list.txt")]) == 1
    assert "digest is d2, but d1 in the model" in capsys.readouterr().err
    with pytest.raises(BadCheckpoint, match="made with data"):
        run({"data": [odd], "steps": 9, **SHORT}, whole.model.parent)


@pytest.mark.parametrize(
    ("wrong", "error", "why"),
    [
        ({"size": "huge"}, TrainingError, "no size 'huge'"),
        ({"batch": 3, "accumulate": 2}, LayoutError, "3 clips cannot be shared equally by 1 ranks in 2"),
        ({"context": 2}, LayoutError, "does not make 1 ranks"),
        ({"steps": 0}, TrainingError, "at least 1"),
        ({"data": []}, LatentsDoNotFit, "no latents"),
    ],
)
def test_what_cannot_be_is_refused(
    data: list[tuple[str, str]], tmp_path: Path, wrong: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        run({"data": data, **SHORT, **wrong}, tmp_path)


def test_knobs_are_told_in_words() -> None:
    asked = ["steps=3", "size=small", "rate=2e-4", "recompute=True"]
    assert knobs_of(asked) == {"steps": 3, "size": "small", "rate": 2e-4, "recompute": True}


@pytest.mark.parametrize(
    ("word", "why"),
    [("stpes=3", "did you mean steps"), ("steps", "not KNOB=VALUE"), ("steps=few", "steps is a int")],
)
def test_a_wrong_knob_is_refused(word: str, why: str) -> None:
    with pytest.raises(TrainingError, match=why):
        knobs_of([word])
