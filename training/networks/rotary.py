"""Rotary position embedding in 3D: the position of a token as rotations of queries and keys.

Source: Su et al. 2021, arXiv:2104.09864, Eq. 34, one third of the pairs for each axis, with the wavelengths
scaled per axis as in diffusers' Cosmos classes (base 10 000 * scale ** (d / (d - 2))).
"""

import torch
from torch import Tensor

RotaryTables = tuple[Tensor, Tensor]  # cos, sin [b n head_dim/2] or [1 n head_dim/2], float32


def token_positions(frames: int, height: int, width: int, first_frame: int = 0) -> Tensor:
    """(t, h, w) of each token, [n 3] int64, in the order of the tokens."""
    axes = (torch.arange(first_frame, first_frame + frames), torch.arange(height), torch.arange(width))
    return torch.cartesian_prod(*axes)


def rotary_tables(positions: Tensor, head_dim: int, scale: tuple[float, float, float]) -> RotaryTables:
    """The rotations of tokens at `positions` [b n 3], which need not be whole numbers.

    Args:
        head_dim: Even, at least 18. Height and width get head_dim // 6 pairs each, time the rest.
        scale: Scale of the wavelengths along t, h, w.
    """
    spatial_dim = head_dim // 6 * 2
    angles = []
    for axis, dim in enumerate((head_dim - 2 * spatial_dim, spatial_dim, spatial_dim)):
        base = 10000.0 * scale[axis] ** (dim / (dim - 2))
        frequencies = base ** -(torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32) / dim)
        angles.append(positions[..., axis, None].float() * frequencies)
    pairs = torch.cat(angles, -1)
    return pairs.cos(), pairs.sin()


def apply_rotary(x: Tensor, tables: RotaryTables) -> Tensor:
    """Rotate x [b n heads d] in the pairs (i, i + d/2), in float32; the result has the dtype of x."""
    return rotate(x.float(), tables).to(x.dtype)


def rotate(x: Tensor, tables: RotaryTables, inverse: bool = False) -> Tensor:
    """Rotate x [b n heads d], or undo the rotation."""
    cos, sin = (table[:, :, None] for table in tables)  # [b n 1 d/2]
    low, high = x.chunk(2, -1)
    out = x.reshape(*x.shape[:-1], 2, -1) * cos[..., None, :]
    out[..., 0, :].addcmul_(high, sin, value=1 if inverse else -1)
    out[..., 1, :].addcmul_(low, sin, value=-1 if inverse else 1)
    return out.flatten(-2)
