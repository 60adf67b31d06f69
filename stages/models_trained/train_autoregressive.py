"""Trains an autoregressive world model on shards of codes, on one or more ranks."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from manifests import Artifact, NonNegativeFloat, Row, Share, column
from pipeline import Launch, Needs
from stages.models_trained.train_world import (
    PackedLatents,
    artifact_url,
    reproducible_curve,
    training_progress,
)
from training.recipes.autoregressive.config import UNRECORDED_SETTINGS, AutoregressiveTrainingConfig
from training.settings.data import ClipSettings
from training.settings.diffusion import GivenSettings
from training.settings.evaluation import ValidationSettings
from training.settings.execution import ExecutionSettings
from training.settings.model import ModelSettings
from training.settings.optimization import StepSettings


class TrainedAutoregressive(Row):
    model: Artifact = column("safetensors file of EMA weights; its metadata describes the network")
    curve: Artifact = column("JSON lines, one per step: step, loss and its parts, grad_norm, lr, stage")
    steps: int = column("optimizer steps taken", unit="steps")
    loss_first: float = column("mean loss of the first tenth of the steps", unit="1")
    loss_last: float = column("mean loss of the last tenth of the steps", unit="1")
    parameters: int = column("number of trained parameters", unit="1")
    skipped_steps: int = column("steps skipped because their loss or gradient was not finite", unit="steps")
    validation_clips: int = column("number of held-out clips", unit="clips")
    validation_cross_entropy: float | None = column(
        "mean cross-entropy of the tokens of held-out clips", unit="nats"
    )
    validation_unigram: float | None = column(
        "cross-entropy of the same tokens by the frequencies of the ids in the training data", unit="nats"
    )
    validation_copy: float | None = column(
        "cross-entropy of the same tokens by a copy of the latent frame before, mixed with the frequencies",
        unit="nats",
    )
    validation_accuracy: float | None = column(
        "share of the tokens whose most probable id is the true one", unit="0..1"
    )
    validation_bits_per_pixel: float | None = column(
        "bits of the codes of held-out clips per pixel of their frames", unit="bit/px"
    )


class TrainAutoregressive(
    ValidationSettings,
    ExecutionSettings,
    ClipSettings,
    StepSettings,
    GivenSettings,
    ModelSettings,
    Launch[PackedLatents, TrainedAutoregressive],
):
    """Trains an autoregressive world model on packed codes of a discrete tokenizer.

    Clips of the validation split are held out: they evaluate the trained model beside two baselines. The
    settings are those of `clipmill train autoregressive`.

    Attributes:
        token_embedding: Rows of the ids. table: one for each id. fsq: the sum of one for each id and of one
            for each level of its code, for small data.
        embedding_dropout: Share of the values of token embeddings that are dropped in training. Higher values
            prevent overfitting, and learn slower.
        z_loss_weight: Factor of the mean of the squared logarithm of the sum of exponentials of the logits.
            Higher values keep the logits smaller.
    """

    needs = Needs(cpus=2, memory_gb=2)
    execution_settings = frozenset(
        field.name
        for field in fields(AutoregressiveTrainingConfig)
        if field.name in UNRECORDED_SETTINGS - {"validation_max_clips", "data", "validation_data", "quiet"}
    )

    token_embedding: str = "table"
    embedding_dropout: Share = 0.0
    z_loss_weight: NonNegativeFloat = 1e-4

    def __post_init__(self) -> None:
        AutoregressiveTrainingConfig(data=[("", "")], **self.settings())  # raises if a setting is not valid

    def progress(self, work: Path) -> tuple[float, str]:
        """The last step of the loss curve, and its loss."""
        return training_progress(work, self.steps)

    def run(self, rows: Iterator[PackedLatents], work: Path) -> TrainedAutoregressive:
        """Train, or resume training, in the folder `work`."""
        from training.recipes.autoregressive.train import train_autoregressive

        shards: dict[str, set[tuple[str, str]]] = {}
        for row in rows:
            pair = artifact_url(row.latents_shard), artifact_url(row.latents_index)
            shards.setdefault(row.split, set()).add(pair)
        data, held_out = (sorted(shards.get(split, ())) for split in ("train", "validation"))
        files = {"data": data, "validation_data": held_out}
        result = train_autoregressive({**files, "quiet": True, **self.settings()}, work)
        if os.environ.get("RANK", "0") != "0":  # the engine uses the files of rank 0, and may move them
            model = Artifact(path="model.safetensors", size_bytes=0, sha256="")
        else:
            model = Artifact.of_file(result.model)
        found = result.validation
        return TrainedAutoregressive(
            model=model,
            curve=Artifact.of(reproducible_curve(result.loss_curve), ".jsonl"),
            steps=result.steps,
            loss_first=result.loss_first,
            loss_last=result.loss_last,
            parameters=result.parameters,
            skipped_steps=result.skipped_steps,
            validation_clips=found.clips if found else 0,
            validation_cross_entropy=found.cross_entropy if found else None,
            validation_unigram=found.unigram if found else None,
            validation_copy=found.copy if found else None,
            validation_accuracy=found.accuracy if found else None,
            validation_bits_per_pixel=found.bits_per_pixel if found else None,
        )
