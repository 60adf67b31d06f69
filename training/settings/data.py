"""The clips of each step of a training."""

from dataclasses import dataclass

from manifests import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The clips of each step of a training.

    Attributes:
        batch_size: Clips per step, over all ranks. Higher values need more memory and time per step.
        max_latent_frames: Latent frames that longer clips are cropped to; 0 crops none. Higher values train
            on longer clips and need more memory.
    """

    batch_size: PositiveInt = 8
    max_latent_frames: NonNegativeInt = 0
