"""Trains a video diffusion model on shards of latents, on one or more ranks."""

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
    model: Artifact = column("safetensors file of EMA weights; its metadata describes the network")
    curve: Artifact = column("JSON lines, one per step: step, loss, clean_mse, grad_norm, lr")
    steps: int = column("optimizer steps taken", unit="steps")
    loss_first: float = column("mean loss of the first tenth of the steps", unit="1")
    loss_last: float = column("mean loss of the last tenth of the steps", unit="1")
    parameters: int = column("number of trained parameters", unit="1")


class TrainWorld(Launch[PackedLatents, TrainedWorld]):
    """Trains a diffusion transformer with rectified flow on packed latents.

    The settings are those of `training.recipes.world.TrainingConfig`.

    Attributes:
        steps: Optimizer steps in total. Higher values train longer.
        model: Name of the network size: tiny or small.
        batch_size: Clips per step, over all ranks. Higher values need more memory and time per step.
        lr: Peak learning rate. Higher values learn faster and can diverge.
        warmup_steps: Steps of the linear warmup to the peak learning rate.
        lr_schedule: Learning rate after the warmup: constant, or cosine, which ends at a tenth of the peak.
        weight_decay: Weight decay of AdamW.
        flow_shift: Shift of the training timesteps towards noise; 1 is none. Larger latents need more.
        seed: Seed of the weights, the order of the clips, the timesteps and the noise.
        max_latent_frames: Latent frames that longer clips are cropped to; 0 crops none.
        ema_sigma_rel: Width of the power function EMA of the weights, as a share of the steps, between 0
            and 0.28. Higher values average over more steps.
        grad_accum_steps: Microbatches per step and rank. Higher values need less memory.
        dp_replicate: Copies of the whole model. The other data-parallel ranks shard the parameters.
        context_parallel: Ranks that share the tokens of one clip.
        precision: Dtype of the forward and backward pass: fp32, bf16, or auto, which is bf16 on a GPU.
        activation_checkpointing: Compute activations again in the backward pass: less memory, more time.
        checkpoint_interval: Steps between checkpoints.
        num_threads: CPU threads per rank. It determines the order of sums, and so the last bits.
    """

    version = 2

    steps: int = 200
    model: str = "tiny"
    batch_size: int = 8
    lr: float = 1e-3
    warmup_steps: int = 20
    lr_schedule: str = "constant"
    weight_decay: float = 0.01
    flow_shift: float = 1.0
    seed: int = 0
    max_latent_frames: int = 0
    ema_sigma_rel: float = 0.1
    grad_accum_steps: int = 1
    dp_replicate: int = 1
    context_parallel: int = 1
    precision: str = "auto"
    activation_checkpointing: bool = False
    checkpoint_interval: int = 100
    num_threads: int = 2

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

    def __post_init__(self) -> None:
        from training.recipes.config import TrainingConfig

        TrainingConfig(data=(), **self.settings())  # raises an error for an unknown choice before any work

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
