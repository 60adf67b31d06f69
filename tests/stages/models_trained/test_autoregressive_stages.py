"""The stages train an autoregressive model on packed codes and sample a video, on real files."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from manifests.stores import open_store
from stages.models_trained.sample_autoregressive import SampleAutoregressive
from stages.models_trained.sample_video import SampledVideo, TrainedModel
from stages.models_trained.train_autoregressive import TrainAutoregressive
from stages.models_trained.train_world import PackedLatents
from training.decoding.sample import TokenSamplingRequest
from training.errors import TrainingError
from training.recipes.autoregressive.config import AutoregressiveTrainingConfig

STAGE = TrainAutoregressive(
    steps=3, batch_size=2, warmup_steps=1, checkpoint_interval=2, num_threads=1, conditional_frames=(0.5, 0.5)
)


def test_codes_become_a_model_and_a_video(
    pack_clips: Callable[..., list[PackedLatents]], tmp_path: Path
) -> None:
    rows = pack_clips("small-discrete", 4) + pack_clips("small-discrete", 2, "validation")
    row = STAGE.run(iter(rows), tmp_path / "work")
    assert (row.steps, row.skipped_steps, row.validation_clips) == (3, 0, 2)
    assert row.validation_cross_entropy is not None
    assert row.validation_unigram is not None
    assert row.validation_copy is not None
    assert row.validation_cross_entropy > row.validation_copy  # after three steps
    assert STAGE.progress(tmp_path / "work")[0] == 1.0
    assert b"seconds" not in row.curve.read()
    model = row.model.save(open_store(str(tmp_path / "models")), "train")
    sample = SampleAutoregressive(prompt=("square 1",), num_frames=5, temperature=0.0)
    [video] = sample.annotate([TrainedModel(id="m", model=model)])
    assert isinstance(video, SampledVideo)
    assert (video.video_frames, video.video_width_px, video.video_height_px) == (5, 96, 64)
    assert video.video_fps == 12.0


def test_the_settings_are_those_of_the_commands() -> None:
    trained = {field.name for field in fields(AutoregressiveTrainingConfig)}
    files = {"data", "data_sizes", "data_weights", "validation_data", "skip_samples", "quiet"}
    heads = {"init_from", "medusa_heads", "medusa_layers"}  # which a second training adds to a model
    assert trained - set(STAGE.settings()) == files | heads
    sampled = {field.name for field in fields(TokenSamplingRequest)}
    of_the_command = {"first_sample", "num_threads"}
    assert sampled - set(SampleAutoregressive().settings()) == of_the_command


def test_wrong_settings_are_an_error_before_any_work() -> None:
    for settings in ({"model": "huge"}, {"z_loss_weight": -1.0}, {"token_embedding": "x"}):
        with pytest.raises(TrainingError):
            TrainAutoregressive(**settings)  # type: ignore[arg-type]
