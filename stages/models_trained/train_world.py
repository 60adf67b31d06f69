"""Trains a video diffusion model on shards of latents, on one or more ranks."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from manifests import Artifact, Row, column
from pipeline import Launch, Needs
from training.recipes.config import EXECUTION_SETTINGS, TrainingSettings
from training.settings.conditions import ConditionSettings

_CURVE_FILE = "curve.jsonl"  # in the folder of the training


class PackedLatents(Row):
    latents_shard: Artifact
    latents_index: Artifact
    split: str = "train"


class TrainedWorld(Row):
    model: Artifact = column("safetensors file of EMA weights; its metadata describes the network")
    curve: Artifact = column("JSON lines, one per step: step, loss and its parts, grad_norm, lr, stage")
    steps: int = column("optimizer steps taken", unit="steps")
    loss_first: float = column("mean loss of the first tenth of the steps", unit="1")
    loss_last: float = column("mean loss of the last tenth of the steps", unit="1")
    parameters: int = column("number of trained parameters", unit="1")
    skipped_steps: int = column("steps skipped because their loss or gradient was not finite", unit="steps")
    validation_clips: int = column("number of held-out clips", unit="clips")
    validation_loss: float | None = column("mean velocity loss on the held-out clips", unit="1")
    validation_linear_loss: float | None = column(
        "mean velocity loss of the best linear prediction on the held-out clips", unit="1"
    )


class TrainWorld(ConditionSettings, TrainingSettings, Launch[PackedLatents, TrainedWorld]):
    """Trains a video diffusion model on packed latents, and on their actions and camera poses.

    Clips of the validation split are held out: they evaluate the trained model. The settings are those of
    `TrainingSettings` and `ConditionSettings`. `stages` and `latent_statistics` are text here, because a file
    is no part of the key.
    """

    version = 7

    needs = Needs(cpus=2, memory_gb=2)
    execution_settings = frozenset(
        field.name
        for field in fields(TrainingSettings)
        if field.name in EXECUTION_SETTINGS - {"validation_max_clips"}  # the row has the loss on these clips
    )

    def progress(self, work: Path) -> tuple[float, str]:
        """The last step of the loss curve, and its loss. The share is unknown for a training in stages."""
        return training_progress(work, 0 if self.stages else self.steps)

    def run(self, rows: Iterator[PackedLatents], work: Path) -> TrainedWorld:
        """Train, or resume training, in the folder `work`."""
        from training.recipes.stages import check_settings_of_dag

        check_settings_of_dag(self)
        return train_on_rows(rows, work, self.settings())


def train_on_rows(rows: Iterator[PackedLatents], work: Path, settings: Mapping[str, Any]) -> TrainedWorld:
    """Train a diffusion model on the shards that rows name, or resume in the folder `work`."""
    from training.recipes.world import train

    shards: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        pair = artifact_url(row.latents_shard), artifact_url(row.latents_index)
        shards.setdefault(row.split, set()).add(pair)
    data, held_out = (sorted(shards.get(split, ())) for split in ("train", "validation"))
    files = {"data": data, "validation_data": held_out}
    result = train({**files, "quiet": True, **settings}, work)  # the run shows the progress
    if os.environ.get("RANK", "0") != "0":  # the engine uses the files of rank 0, and may move them
        model = Artifact(path="model.safetensors", size_bytes=0, sha256="")
    else:
        model = Artifact.of_file(result.model)
    return TrainedWorld(
        model=model,
        curve=Artifact.of(reproducible_curve(result.loss_curve), ".jsonl"),
        steps=result.steps,
        loss_first=result.loss_first,
        loss_last=result.loss_last,
        parameters=result.parameters,
        skipped_steps=result.skipped_steps,
        validation_clips=result.validation.clips if result.validation else 0,
        validation_loss=result.validation.loss if result.validation else None,
        validation_linear_loss=result.validation.linear_loss if result.validation else None,
    )


def training_progress(work: Path, steps: int) -> tuple[float, str]:
    """The share of `steps` that is done, and the last step with its loss; 0 steps: the number is unknown."""
    from training.callbacks.loss_curve import read_last_line

    last = read_last_line(work / _CURVE_FILE)
    if not last:
        return 0.0, ""
    step, loss = int(last["step"]), last.get("loss")
    text = f"step {step}" + (f"/{steps}" if steps else "") + ("" if loss is None else f", loss {loss:.4f}")
    return min(step / steps, 1.0) if steps else 0.0, text


def artifact_url(artifact: Artifact) -> str:
    """The URL of a stored file."""
    assert artifact.store is not None
    return f"{artifact.store.url}/{artifact.path}"


def reproducible_curve(file: Path) -> bytes:
    """The loss curve without measured times, which differ between equal runs."""
    from training.callbacks.loss_curve import TIMING_KEYS, read_loss_curve

    lines = [{k: v for k, v in line.items() if k not in TIMING_KEYS} for line in read_loss_curve(file)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
