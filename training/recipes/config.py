"""The settings of a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, get_args, get_type_hints

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Range
from training.errors import SettingError
from training.networks.config import MODEL_CONFIGS

CHOICES = {
    "model": tuple(MODEL_CONFIGS),
    "lr_schedule": ("constant", "cosine"),
    "precision": ("auto", "fp32", "bf16"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The settings of a training, for `python -m training train` and for the stage `TrainWorld`.

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

    Raises:
        SettingError: a number is out of its range, or `model`, `lr_schedule` or `precision` is not one of its
            choices.
    """

    steps: PositiveInt = 200
    model: str = "tiny"
    batch_size: PositiveInt = 8
    lr: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 20
    lr_schedule: str = "constant"
    weight_decay: NonNegativeFloat = 0.01
    flow_shift: PositiveFloat = 1.0
    seed: NonNegativeInt = 0
    max_latent_frames: NonNegativeInt = 0
    ema_sigma_rel: Annotated[float, Range(above=0, below=0.28)] = 0.1
    grad_accum_steps: PositiveInt = 1
    dp_replicate: PositiveInt = 1
    context_parallel: PositiveInt = 1
    precision: str = "auto"
    activation_checkpointing: bool = False
    checkpoint_interval: PositiveInt = 100
    num_threads: PositiveInt = 2

    def __post_init__(self) -> None:
        for name, declared in get_type_hints(type(self), include_extras=True).items():
            for limits in get_args(declared)[1:]:
                if isinstance(limits, Range) and not limits.contains(value := getattr(self, name)):
                    raise SettingError(f"{name}: {value} is out of range; allowed: {limits}")
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise SettingError(
                    f"there is no {name} {value!r}", remedy=f"choose one of {', '.join(choices)}"
                )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingSettings):
    """One training: its settings, its data, and whether it prints progress.

    Attributes:
        data: (tar, index) of each shard.
        quiet: Print no progress.
    """

    data: Sequence[tuple[str, str]]
    quiet: bool = False


# Settings of where and how to train, not of what. A training may resume with other values of these.
EXECUTION_SETTINGS = {
    "data",
    "grad_accum_steps",
    "dp_replicate",
    "context_parallel",
    "activation_checkpointing",
    "checkpoint_interval",
    "num_threads",
    "quiet",
}
