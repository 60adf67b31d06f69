"""Shapes of the tensors that public functions take and return.

Axes: b batch, c channels, t frames, h height, w width, n tokens. Of latents, t, h and w count latents.
"""

from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

Video: TypeAlias = Float[Tensor, "b 3 t h w"]  # noqa: F722 - RGB in -1..1
Latents: TypeAlias = Float[Tensor, "b c t h w"]  # noqa: F722 - about unit variance per channel
Indices: TypeAlias = Int[Tensor, "b t h w"]  # noqa: F722 - of codes, one per latent
Timestep: TypeAlias = Float[Tensor, "b *t"]  # noqa: F821
Coefficient: TypeAlias = Float[Tensor, "b *t"]  # noqa: F821
TextEmbeddings: TypeAlias = Float[Tensor, "b n d"]  # noqa: F722
TextMask: TypeAlias = Int[Tensor, "b n"]  # noqa: F722 - 1 where a text token counts, 0 is padding
Scalar: TypeAlias = Float[Tensor, ""]  # noqa: F722
