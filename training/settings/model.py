"""The network, the text encoder and the weights of a training."""

from dataclasses import dataclass
from typing import Annotated

from manifests import NonNegativeInt, Range


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The network, the text encoder and the weights of a training.

    Attributes:
        model: Name of the network size: tiny or small.
        text_encoder: byte_level (small, trained with the model), precomputed (the text embeddings in the
            shards, from EncodeText) or none.
        seed: Seed of the weights, the order of the clips, the timesteps and the noise.
        ema_sigma_rel: Width of the power function EMA of the weights, as a share of the steps, between 0
            and 0.28. Higher values average over more steps.
    """

    model: str = "tiny"
    text_encoder: str = "byte_level"
    seed: NonNegativeInt = 0
    ema_sigma_rel: Annotated[float, Range(above=0, below=0.28)] = 0.1
