"""Trains a video diffusion model on shards of latents, on one or more ranks."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from manifests import Artifact, Row, column
from pipeline import Launch, Needs
from training.recipes.config import TrainingSettings


class PackedLatents(Row):
    latents_shard: Artifact
    latents_index: Artifact


class TrainedWorld(Row):
    model: Artifact = column("safetensors file of EMA weights; its metadata describes the network")
    curve: Artifact = column("JSON lines, one per step: step, loss, clean_mse, grad_norm, lr")
    steps: int = column("optimizer steps taken", unit="steps")
    loss_first: float = column("mean loss of the first tenth of the steps", unit="1")
    loss_last: float = column("mean loss of the last tenth of the steps", unit="1")
    parameters: int = column("number of trained parameters", unit="1")


class TrainWorld(TrainingSettings, Launch[PackedLatents, TrainedWorld]):
    """Trains a diffusion transformer with rectified flow on packed latents.

    The settings are those of `TrainingSettings`.
    """

    version = 2

    needs = Needs(cpus=2, memory_gb=2)
    execution_settings = frozenset(
        {
            "grad_accum_steps",
            "dp_replicate",
            "context_parallel",
            "activation_checkpointing",
            "checkpoint_interval",
        }
    )

    def run(self, rows: Iterator[PackedLatents], work: Path) -> TrainedWorld:
        """Train, or resume training, in the folder `work`."""
        from training.recipes.world import train

        shards = sorted({(_url(row.latents_shard), _url(row.latents_index)) for row in rows})
        result = train({"data": shards, **self.settings()}, work)
        if os.environ.get("RANK", "0") != "0":  # the engine uses the files of rank 0, and may move them
            model = Artifact(path="model.safetensors", size_bytes=0, sha256="")
        else:
            model = Artifact.of_file(result.model)
        return TrainedWorld(
            model=model,
            curve=Artifact.of(_reproducible_curve(result.loss_curve), ".jsonl"),
            steps=result.steps,
            loss_first=result.loss_first,
            loss_last=result.loss_last,
            parameters=result.parameters,
        )


def _url(artifact: Artifact) -> str:
    assert artifact.store is not None
    return f"{artifact.store.url}/{artifact.path}"


def _reproducible_curve(file: Path) -> bytes:
    """The loss curve without measured times, which differ between equal runs."""
    from training.callbacks.loss_curve import TIMING_KEYS, read_loss_curve

    lines = [{k: v for k, v in line.items() if k not in TIMING_KEYS} for line in read_loss_curve(file)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
