"""The settings of a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Range, Share
from training.diffusion.config import PATHS, PRECONDITIONINGS, DiffusionConfig
from training.errors import SettingError
from training.networks.config import MODEL_CONFIGS

CHOICES = {
    "model": tuple(MODEL_CONFIGS),
    "path": PATHS,
    "preconditioning": PRECONDITIONINGS,
    "loss_weight": ("velocity", "network_output", "min_snr"),
    "text_encoder": ("byte_level", "none"),
    "lr_schedule": ("constant", "cosine"),
    "precision": ("auto", "fp32", "bf16"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The settings of a training, for `python -m training train` and for the stage `TrainWorld`.

    Attributes:
        steps: Optimizer steps in total. Higher values train longer.
        model: Name of the network size: tiny or small.
        path: Noise path: rectified_flow (flow matching), edm, cosine, ddpm (1000 steps with the linear
            schedule) or ddpm_cosine.
        preconditioning: What the network predicts: edm (input and target of unit variance, on any path),
            velocity (as Cosmos-Predict2.5, on rectified_flow), scaled_velocity (as Cosmos-Predict2, on edm)
            or epsilon (the noise, on ddpm and ddpm_cosine).
        sigma_data: Standard deviation of the latents that the edm preconditioning assumes.
        latent_scale: Factor of the latents that pretrained weights were trained with, for the edm
            preconditioning: 0.5 for Cosmos-Predict1. Latents are not multiplied by it.
        loss_weight: Weight of the loss by timestep: velocity (the squared error of noise - clean),
            network_output (the squared error of the network's output) or min_snr.
        text_encoder: byte_level (small, trained with the model) or none.
        text_dropout: Share of clips that lose their text, for classifier-free guidance. Higher values make
            sampling without text better.
        conditional_frames: Odds of 0, 1, 2 … latent frames that are given at the start of a clip.
            (1,) is text-to-video only; (0.5, 0.25, 0.25) also trains image-to-video and video-to-video.
        condition_timestep: Timestep of given frames that the network gets, one for each frame; 0 gives it
            only one timestep per clip.
        batch_size: Clips per step, over all ranks. Higher values need more memory and time per step.
        lr: Peak learning rate. Higher values learn faster and can diverge.
        warmup_steps: Steps of the linear warmup to the peak learning rate.
        lr_schedule: Learning rate after the warmup: constant, or cosine, which ends at a tenth of the peak.
        weight_decay: Weight decay of AdamW.
        flow_shift: Shift of the training timesteps towards noise; 1 is none. Larger latents need more.
        high_noise_share: Share of the timesteps that are drawn from 0.98 to 1. Higher values train the start
            of sampling more.
        timestep_mean: Mean of the normal distribution of logit(timestep), or of ln(sigma) on the path edm.
            Higher values train more on noise.
        timestep_std: Standard deviation of that distribution. Higher values train more on both ends.
        max_skipped_steps: Consecutive steps whose loss or gradient is not finite that are skipped before the
            training fails. Higher values tolerate more.
        seed: Seed of the weights, the order of the clips, the timesteps and the noise.
        max_latent_frames: Latent frames that longer clips are cropped to; 0 crops none. Higher values train
            on longer clips and need more memory.
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
    path: str = "rectified_flow"
    preconditioning: str = "edm"
    sigma_data: PositiveFloat = 1.0
    latent_scale: PositiveFloat = 1.0
    loss_weight: str = "velocity"
    text_encoder: str = "byte_level"
    text_dropout: Share = 0.1
    conditional_frames: tuple[NonNegativeFloat, ...] = (1.0,)
    condition_timestep: NonNegativeFloat = 0.0
    batch_size: PositiveInt = 8
    lr: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 20
    lr_schedule: str = "constant"
    weight_decay: NonNegativeFloat = 0.01
    flow_shift: PositiveFloat = 1.0
    high_noise_share: Share = 0.0
    timestep_mean: Annotated[float, Range(-20, 20)] = 0.0
    timestep_std: PositiveFloat = 1.0
    max_skipped_steps: NonNegativeInt = 10
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
        for name, choices in self._choices().items():
            if (value := getattr(self, name)) not in choices:
                raise SettingError(
                    f"there is no {name} {value!r}", remedy=f"choose one of {', '.join(choices)}"
                )
        odds = self.conditional_frames
        if min(odds, default=-1) < 0 or not sum(odds):
            raise SettingError(
                f"conditional_frames is {odds}; it must be odds of 0 or more, one of them above 0",
                remedy="use for example 0.5,0.25,0.25 for 0, 1 and 2 given latent frames",
            )

    def _choices(self) -> dict[str, tuple[str, ...]]:
        return CHOICES

    @property
    def diffusion(self) -> DiffusionConfig:
        """The diffusion process that these settings describe."""
        return DiffusionConfig(
            self.path,
            self.preconditioning,
            self.sigma_data,
            self.latent_scale,
            has_frame_timesteps=self.condition_timestep > 0,
        )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingSettings):
    """One training: its settings, its data, and whether it prints progress.

    `text_encoder` may also be a pretrained encoder, which is not trained: a folder, or a name on the Hugging
    Face hub.

    Attributes:
        init_from: Weights that the training starts from: a diffusers folder, a released file or a name on the
            Hugging Face hub (of Cosmos-Predict1, 2 or 2.5), or a model folder of Clipmill. They determine the
            network instead of `model`, and the defaults of path, preconditioning and sigma_data. "" starts
            from random weights.
        data: (tar, index) of each shard.
        validation_data: (tar, index) of each shard of held-out clips, which evaluate the trained model.
        skip_samples: Text file with the ids of clips that are not trained on, one per line; "" skips none.
        quiet: Print no progress.
    """

    data: Sequence[tuple[str, str]]
    validation_data: Sequence[tuple[str, str]] = ()
    skip_samples: str = ""
    init_from: str = ""
    quiet: bool = False

    def _choices(self) -> dict[str, tuple[str, ...]]:
        is_place = "/" in self.text_encoder or Path(self.text_encoder).is_dir()
        return {k: v for k, v in super()._choices().items() if k != "text_encoder" or not is_place}


# Settings of where and how to train, not of what. They change no result beyond the order of sums.
EXECUTION_SETTINGS = {
    "data",
    "validation_data",
    "grad_accum_steps",
    "dp_replicate",
    "context_parallel",
    "activation_checkpointing",
    "checkpoint_interval",
    "num_threads",
    "quiet",
}
