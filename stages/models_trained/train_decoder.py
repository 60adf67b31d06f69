"""Trains a diffusion decoder on shards of latents and the codes of the same clips, on one or more ranks."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated

from manifests import PositiveFloat, Range
from manifests.errors import InvalidSetting
from manifests.stores import open_store
from pipeline import Launch, Needs
from stages.models_trained.train_world import (
    PackedLatents,
    TrainedWorld,
    train_on_rows,
    training_progress,
)
from training.recipes.config import EXECUTION_SETTINGS, TrainingSettings
from training.settings.codes import CodeSettings


class TrainDecoder(CodeSettings, TrainingSettings, Launch[PackedLatents, TrainedWorld]):
    """Trains a diffusion decoder on packed latents, given the codes of the same clips.

    Clips of the validation split are held out: they evaluate the trained model. The settings are those of
    `clipmill train` with `codes`; other defaults are those of `training/README.md`, "Train a diffusion
    decoder". The digest of the indexes of the codes is part of the content key, and their place is not.

    Attributes:
        path: Noise path.
        text_encoder: none; a diffusion decoder reads codes, and no captions.
        timestep_mean: Mean of ln(sigma). Higher values train fewer steps better, and many steps less.
        timestep_std: Standard deviation of ln(sigma). Higher values spread the training over more noise.
    """

    needs = Needs(cpus=2, memory_gb=2)
    execution_settings = frozenset(
        field.name
        for settings in (TrainingSettings, CodeSettings)
        for field in fields(settings)
        if field.name in EXECUTION_SETTINGS - {"validation_max_clips"}  # the row has the loss on these clips
    )

    path: str = "edm"
    text_encoder: str = "none"
    timestep_mean: Annotated[float, Range(-20, 20)] = 2.0
    timestep_std: PositiveFloat = 1.5
    code_residual: bool = True

    def digest(self) -> str:
        """Return the digest of the indexes of the codes: the ids, sizes and tokenizer of all clips.

        Raises:
            InvalidSetting: `codes` is not set.
            LatentMismatchError: There are no shards.
        """
        from training.recipes.batches import find_codes

        if not self.codes:
            raise InvalidSetting(
                "TrainDecoder has no codes",
                remedy="set codes to the folder of the packed codes of the same clips",
            )
        digest = hashlib.sha256()
        for _, index in find_codes(self.codes):
            folder, _, name = index.rpartition("/")
            digest.update(hashlib.sha256(open_store(folder or ".").read(name)).digest())
        return digest.hexdigest()

    def progress(self, work: Path) -> tuple[float, str]:
        """The last step of the loss curve, and its loss. The share is unknown for a training in stages."""
        return training_progress(work, 0 if self.stages else self.steps)

    def run(self, rows: Iterator[PackedLatents], work: Path) -> TrainedWorld:
        """Train, or resume training, in the folder `work`."""
        from training.recipes.stages import check_settings_of_dag

        check_settings_of_dag(self)
        return train_on_rows(rows, work, self.settings())
