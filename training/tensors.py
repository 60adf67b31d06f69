"""Shapes of the tensors that public functions take and return.

Axes: b batch, c channels, t frames, h height, w width, n tokens. Of latents, t, h and w count latents.
"""

from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

Video: TypeAlias = Float[Tensor, "b 3 t h w"]  # noqa: F722 - RGB in -1..1
Latents: TypeAlias = Float[Tensor, "b c t h w"]  # noqa: F722 - about unit variance per channel
Timestep: TypeAlias = Float[Tensor, " b"]  # noqa: F722 - time on the noise path, 0 (clean) to 1 (noise)
Coefficient: TypeAlias = Float[Tensor, " b"]  # noqa: F722 - alpha or sigma at a timestep, 0..1
TextTokens: TypeAlias = Int[Tensor, "b n"]  # noqa: F722 - token ids of captions, 0 is padding
Scalar: TypeAlias = Float[Tensor, ""]  # noqa: F722
