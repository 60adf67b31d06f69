"""Validation, previews and event files show a training and do not change it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.callbacks.loss_curve import TIMING_KEYS, read_loss_curve
from training.evaluation.evaluate import evaluate
from training.recipes.world import TrainingResult, train

MakeShard = Callable[..., tuple[str, str]]
Pairs = list[tuple[str, str]]
SHORT: dict[str, Any] = {
    "batch_size": 2,
    "warmup_steps": 1,
    "checkpoint_interval": 2,
    "num_threads": 1,
    "conditional_frames": (0.5, 0.5),
}


@pytest.fixture
def data(make_shard: MakeShard) -> Pairs:
    from training.tokenizers import tokenizer_digest

    digest = tokenizer_digest("small")
    return [
        make_shard("films/a", [f"clip{n}" for n in range(4)], shape=(16, 2, 4, 4), tokenizer_digest=digest),
        make_shard("photos/a", ["image0", "image1"], shape=(16, 1, 4, 4), tokenizer_digest=digest),
    ]


def read_lines(result: TrainingResult) -> list[dict[str, Any]]:
    file = result.model.parent / "validation.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def curve(result: TrainingResult) -> list[dict[str, float]]:
    lines = read_loss_curve(result.loss_curve)
    return [{name: value for name, value in line.items() if name not in TIMING_KEYS} for line in lines]


def test_a_watched_training_has_the_same_bits(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = train({"data": data, "steps": 3, **SHORT, "quiet": True}, tmp_path / "alone")
    shown = {"validation_data": data, "validation_interval": 2, "tensorboard": True}
    watched = train({"data": data, "steps": 3, **SHORT, **shown}, tmp_path / "watched")
    assert watched.model.read_bytes() == alone.model.read_bytes()
    assert curve(watched) == curve(alone)
    lines = read_lines(watched)
    assert [line["step"] for line in lines] == [2, 3]
    assert watched.validation is not None
    assert lines[-1] == {"step": 3, **watched.validation.to_json()}
    again = evaluate(watched.model, data, num_threads=1)
    assert again.loss == pytest.approx(watched.validation.loss, rel=1e-5)
    assert again.loss_by_mode == pytest.approx(watched.validation.loss_by_mode, rel=1e-5)
    printed = capfd.readouterr().err
    assert f"validation at step 2 of 6 clips · loss {lines[0]['loss']:.4f}" in printed
    assert "image_to_video" in printed
    _check_events(tmp_path / "watched" / "tensorboard", watched)
    resumed = train({"data": data, "steps": 5, **SHORT, **shown}, tmp_path / "watched")
    assert [line["step"] for line in read_lines(resumed)] == [2, 3, 4, 5]


def _check_events(folder: Path, result: TrainingResult) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("loss")}
    assert losses == pytest.approx({line["step"]: line["loss"] for line in curve(result)})
    steps = [event.step for event in events.Scalars("validation/loss_by_mode/image_to_video")]
    assert steps == [2, 3]
    assert {"tokens_per_s", "peak_memory_gib", "validation/linear_loss"} <= set(events.Tags()["scalars"])
