"""Train a video diffusion model on shards of latents: the trainer's own entry, launched on many ranks."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from manifests import Artifact, Row, column
from pipeline import Launch, Needs


class PackedLatents(Row):
    latents_shard: Artifact
    latents_index: Artifact


class TrainedWorld(Row):
    model: Artifact = column(
        "safetensors file of averaged weights; its metadata say how to build the network"
    )
    curve: Artifact = column("JSON lines: step, loss and its parts, grad_norm, rate")
    steps: int = column("steps taken", unit="steps")
    loss_first: float = column("mean loss of the first tenth of the steps", unit="1")
    loss_last: float = column("mean loss of the last tenth of the steps", unit="1")
    parameters: int = column("numbers that were trained", unit="1")


class TrainWorld(Launch[PackedLatents, TrainedWorld]):
    """Rectified flow on a diffusion transformer. The settings are knobs of `training/recipes/world.py`."""

    steps: int = 200
    size: str = "tiny"
    batch: int = 8  # clips per step, over all ranks
    rate: float = 1e-3
    warmup: int = 20
    shape: str = "constant"  # of the rate, after the warm-up; or "cosine"
    decay: float = 0.01
    shift: float = 1.0
    seed: int = 0
    latent_frames: int = 0  # longer clips are cropped to these; 0 crops none
    average_share: float = 0.1
    accumulate: int = 1
    replicate: int = 1
    context: int = 1
    precision: str = "auto"
    recompute: bool = False
    save_every: int = 100
    threads: int = 2  # of the CPU, per rank; sums are taken in their order

    needs = Needs(cpus=2, memory_gb=2)
    place = frozenset({"accumulate", "replicate", "context", "recompute", "save_every"})

    def run(self, rows: Iterator[PackedLatents], work: Path) -> TrainedWorld:
        """Train, or go on training, in `work`."""
        from training.recipes.world import run

        pairs = sorted({(_url(row.latents_shard), _url(row.latents_index)) for row in rows})
        told = run({"data": pairs, **self.settings()}, work)
        if os.environ.get("RANK", "0") != "0":  # only the first rank's files count, and it may move them
            model = Artifact(path="model.safetensors", size_bytes=0, sha256="")
        else:
            model = Artifact.of_file(told.model)
        return TrainedWorld(
            model=model,
            curve=Artifact.of(_curve(told.curve), ".jsonl"),
            steps=told.steps,
            loss_first=told.loss_first,
            loss_last=told.loss_last,
            parameters=told.parameters,
        )


def _url(artifact: Artifact) -> str:
    assert artifact.store is not None
    return f"{artifact.store.url}/{artifact.path}"


def _curve(file: Path) -> bytes:
    """The curve without what the clock said, which would differ each time."""
    from training.callbacks.loss_curve import MEASURED, read_curve

    lines = [{k: v for k, v in line.items() if k not in MEASURED} for line in read_curve(file)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
