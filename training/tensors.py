"""The shapes that pass between rooms.

b batch, c channels, t frames, h w height and width; after the tokenizer t, h and w count latents.
"""

from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

Video: TypeAlias = Float[Tensor, "b 3 t h w"]  # noqa: F722 - RGB in -1..1
Latents: TypeAlias = Float[Tensor, "b c t h w"]  # noqa: F722 - about unit variance per channel
Level: TypeAlias = Float[Tensor, " b"]  # noqa: F722 - time on the noise path, 0 clean to 1 noise
Words: TypeAlias = Int[Tensor, "b n"]  # noqa: F722 - hashed words of captions, 0 where there is none
Scalar: TypeAlias = Float[Tensor, ""]  # noqa: F722
