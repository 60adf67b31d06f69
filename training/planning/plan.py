"""Predicts the memory and the time of a training from its settings, without data and without a GPU."""

import math
from dataclasses import dataclass, replace

import torch

from training.parallel.mesh import ParallelDims
from training.planning.memory import (
    NO_CONDITIONS,
    PlannedConditions,
    count_step_memory,
    planned_network,
)
from training.recipes.batches import bucket_batch_size
from training.recipes.config import CHOICES, TrainingSettings
from training.recipes.layout import check_layout
from training.world_model import WorldModel

GIB = 2**30
SECONDS_PER_DAY = 86400


@dataclass(frozen=True)
class TrainingPlan:
    """What a training needs. Memory is in bytes per rank.

    Attributes:
        parameters: Trained parameters.
        num_ranks: Ranks in total.
        shards: Ranks that share the parameters of one copy of the model.
        clips: Clips per step, over all ranks.
        tokens: Tokens per clip.
        tokens_per_rank: Tokens of a microbatch on one rank.
        weights: float32 weights.
        optimizer: The two float32 moments of AdamW.
        ema: The float32 EMA of the weights.
        gradients: float32 gradients; of the whole model while microbatches accumulate without being reduced.
        gathered: Whole blocks that compute, the layers outside of the blocks, and gradients to be reduced.
        activations: Peak of the activations without activation checkpointing.
        activations_selective: Peak of the activations with selective activation checkpointing.
        activations_checkpointed: Peak of the activations with full activation checkpointing.
        peak: Peak memory with the given settings. It leaves out temporary tensors inside of kernels and the
            losses of the allocator, which were 1.2 times with the default one of glibc.
        checkpoint_copy: Copy of weights, optimizer and EMA in CPU memory, from which a checkpoint is written
            while the training goes on; 0 without `async_checkpoint`. On GPUs it stays between checkpoints.
        flops: FLOPs of a step over all ranks, forward and backward, attention included. Activations that
            are computed again do not count, as in the usual definition of MFU.
        step_s: Seconds per step.
        days: Days of the whole training.
    """

    parameters: int
    num_ranks: int
    shards: int
    clips: int
    tokens: int
    tokens_per_rank: int
    weights: int
    optimizer: int
    ema: int
    gradients: int
    gathered: int
    activations: int
    activations_selective: int
    activations_checkpointed: int
    peak: int
    checkpoint_copy: int
    flops: float
    step_s: float
    days: float

    def lines(self) -> list[str]:
        """The plan as text."""
        state = self.weights + self.optimizer + self.ema + self.gradients
        rows = [
            ("parameters", f"{self.parameters:,}"),
            ("ranks", f"{self.num_ranks}, of which {self.shards} share one copy of the weights"),
            ("clips", f"{self.clips:,} per step, {self.clips * self.tokens:,} tokens"),
            ("tokens", f"{self.tokens:,} per clip, {self.tokens_per_rank:,} per rank and microbatch"),
            ("memory per rank", f"{self.peak / GIB:.2f} GiB at the peak"),
            ("  weights", f"{self.weights / GIB:.2f} GiB"),
            ("  optimizer", f"{self.optimizer / GIB:.2f} GiB"),
            ("  EMA", f"{self.ema / GIB:.2f} GiB"),
            ("  gradients", f"{self.gradients / GIB:.2f} GiB; all state {state / GIB:.2f} GiB"),
            ("  gathered", f"{self.gathered / GIB:.2f} GiB of blocks that compute"),
            ("  activations", f"{self.activations / GIB:.2f} GiB without activation_checkpointing, "
             f"{self.activations_selective / GIB:.2f} GiB selective, "
             f"{self.activations_checkpointed / GIB:.2f} GiB full"),
            ("CPU memory", f"{self.checkpoint_copy / GIB:.2f} GiB more per rank while a checkpoint is saved"),
            ("step", f"{self.flops / 1e12:,.2f} TFLOP over all ranks, {self.step_s:.3g} s"),
            ("training", f"{self.days:.3g} days"),
        ]  # fmt: skip
        return [f"{name:18}{text}" for name, text in rows]


def plan_training(
    settings: TrainingSettings,
    shape: tuple[int, int, int, int],
    num_ranks: int = 1,
    *,
    conditions: PlannedConditions = NO_CONDITIONS,
    text_tokens: int = 512,
    mfu: float = 0.4,
    peak_flops: float = 989e12,
) -> TrainingPlan:
    """Predict what a training needs.

    Args:
        settings: Of the training; precision "auto" means bf16, and `tokens_per_batch` gives the clips.
        shape: Latents [c t h w] of a clip.
        num_ranks: Ranks in total.
        conditions: What the network reads of each frame.
        text_tokens: Text tokens per clip.
        mfu: Share of the peak FLOP/s that the training reaches.
        peak_flops: Peak FLOP/s of one device.

    Raises:
        SettingError, LayoutError: The network, the ranks, the batch, the heads or the tokens do not fit.
    """
    shape = (shape[0], min(shape[1], settings.max_latent_frames or shape[1]), *shape[2:])
    settings = replace(settings, precision="bf16" if settings.precision == "auto" else settings.precision)
    dims = ParallelDims(settings.dp_replicate, 0, settings.context_parallel).resolve(num_ranks)
    num_data_ranks, shards = dims.dp_replicate * dims.dp_shard, dims.dp_shard * dims.context_parallel
    check_layout(settings, num_data_ranks, [shape])
    settings = replace(settings, batch_size=bucket_batch_size(settings, shape), tokens_per_batch=0)
    model = _model_on_meta(settings, shape[0], conditions)
    parameters = sum(p.numel() for p in model.parameters())
    microbatch = settings.batch_size // (num_data_ranks * settings.grad_accum_steps)
    activations = _activations(settings, (microbatch, *shape), text_tokens, conditions)
    shard = math.ceil(parameters / shards) * 4
    accumulated = 4 * parameters if settings.grad_accum_steps > 1 and not settings.sync_each_batch else 0
    gradients = max(shard, accumulated)
    working = max(accumulated + activations[settings.activation_checkpointing], gradients)
    return TrainingPlan(
        parameters=parameters,
        num_ranks=num_ranks,
        shards=shards,
        clips=settings.batch_size,
        tokens=(tokens := math.prod(model.network.grid((1, *shape)))),
        tokens_per_rank=-(-tokens * microbatch // settings.context_parallel),
        weights=shard,
        optimizer=2 * shard,
        ema=(ema := 0 if settings.ema == "none" else shard),
        gradients=gradients,
        gathered=(gathered := _gathered(model, settings.precision)),
        activations=activations["none"],
        activations_selective=activations["selective"],
        activations_checkpointed=activations["full"],
        peak=3 * shard + ema + gathered + working,
        checkpoint_copy=3 * shard + ema if settings.async_checkpoint else 0,
        flops=(flops := 3 * model.network.flops((settings.batch_size, *shape), text_tokens)),
        step_s=(step_s := flops / (num_ranks * peak_flops * mfu)),
        days=settings.steps * step_s / SECONDS_PER_DAY,
    )


def _activations(
    settings: TrainingSettings, shape: tuple[int, ...], text_tokens: int, conditions: PlannedConditions
) -> dict[str, int]:
    """Peak of the activations in bytes for each mode of activation checkpointing."""
    modes = CHOICES["activation_checkpointing"]
    return {mode: count_step_memory(settings, shape, text_tokens, mode, conditions).peak for mode in modes}


def _model_on_meta(settings: TrainingSettings, channels: int, conditions: PlannedConditions) -> WorldModel:
    network = planned_network(settings, channels, conditions)
    with torch.device("meta"):
        return WorldModel(network, settings.diffusion, settings.text_encoder)


def _gathered(model: WorldModel, precision: str) -> int:
    """Bytes of gathered weights in the backward pass: all layers outside of the blocks, and two blocks.

    The gradients of one block are added, in the type of the weights and in float32 to be reduced.
    """
    size = 2 if precision == "bf16" else 4
    blocks = model.network.transformer_blocks
    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    block, outside = max(sizes), sum(p.numel() for p in model.parameters()) - sum(sizes)
    return (outside + 2 * block) * size + block * (size + 4)
