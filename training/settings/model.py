"""The network, the text encoder and the weights of a training."""

from dataclasses import dataclass
from typing import Annotated

from manifests import NonNegativeInt, Range, Share


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The network, the text encoder and the weights of a training.

    Attributes:
        model: Name of the network: tiny, small or a Cosmos model (transformers), unet3d-nano, unet3d-tiny or
            unet3d-small (3-D U-Nets), convrnn-nano or convrnn-tiny (recurrent convolutional networks).
        text_encoder: byte_level (small, trained with the model), precomputed (the text embeddings in the
            shards, from EncodeText) or none.
        seed: Seed of the weights, the order of the clips, the timesteps and the noise.
        ema: Average of the weights that is validated, sampled and exported: power (a power function, whose
            width is a share of the steps), fixed (a fixed decay) or none.
        ema_sigma_rel: Width of the profile of ema=power, as a share of the steps, between 0 and 0.28. Higher
            values average over more steps.
        ema_decay: Decay of ema=fixed per step. Higher values average over more steps.
    """

    model: str = "tiny"
    text_encoder: str = "byte_level"
    seed: NonNegativeInt = 0
    ema: str = "power"
    ema_sigma_rel: Annotated[float, Range(above=0, below=0.28)] = 0.1
    ema_decay: Share = 0.9999
