"""The stage trains a diffusion decoder on packed latents and codes, resumes it, and its model decodes."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from manifests.errors import InvalidSetting
from stages.models_trained.train_decoder import TrainDecoder
from stages.models_trained.train_world import PackedLatents
from training.errors import TrainingError
from training.recipes.config import TrainingConfig
from training.settings.codes import CodeSettings
from training.settings.conditions import ConditionSettings
from training.settings.post_training import DistillationSettings, RewardSettings
from training.settings.views import ViewSettings

STAGE = TrainDecoder(steps=2, batch_size=2, warmup_steps=1, checkpoint_interval=1, num_threads=1)


def codes_of(rows: list[PackedLatents], file: Path) -> str:
    """A list of the tars that rows name."""
    shards = [row.latents_shard for row in rows]
    places = {f"{shard.store.url}/{shard.path}" for shard in shards if shard.store}
    file.write_text("\n".join(sorted(places)) + "\n")
    return str(file)


def test_latents_and_codes_become_a_decoder(
    pack_clips: Callable[..., list[PackedLatents]], tmp_path: Path
) -> None:
    latents, coded = pack_clips("small", 2), pack_clips("small-discrete", 2)
    stage = replace(STAGE, codes=codes_of(coded, tmp_path / "codes.txt"))
    work = tmp_path / "work"
    replace(stage, steps=1).run(iter(latents), work)
    row = stage.run(iter(latents), work)  # resumes
    assert (row.steps, row.skipped_steps, row.validation_clips) == (2, 0, 0)
    assert stage.progress(work)[0] == 1.0

    moved = replace(stage, codes=codes_of(coded, tmp_path / "moved.txt"))
    fewer = replace(stage, codes=codes_of(pack_clips("small-discrete", 1), tmp_path / "fewer.txt"))
    assert stage.digest() == moved.digest() != fewer.digest()
    with pytest.raises(TrainingError, match="1 of 2 clips have no codes"):
        fewer.run(iter(latents), tmp_path / "fewer")


def test_the_settings_are_those_of_the_command_and_codes_are_needed() -> None:
    files = {"data", "data_sizes", "data_weights", "validation_data", "skip_samples", "quiet", "init_from"}
    adapters = {"lora_rank", "lora_alpha", "lora_target_modules"}
    trained = {field.name for field in fields(TrainingConfig)}
    unused = (ConditionSettings, ViewSettings, DistillationSettings, RewardSettings)
    others = {field.name for settings in unused for field in fields(settings)}
    assert trained - set(STAGE.settings()) == files | adapters | others
    assert {field.name for field in fields(CodeSettings)} <= set(STAGE.settings())
    with pytest.raises(InvalidSetting, match="no codes"):
        STAGE.digest()
    with pytest.raises(TrainingError, match="no path 'x'"):
        TrainDecoder(path="x")
