"""Where a token is, turned into rotations of queries and keys: 3D rotary embedding.

Source: Su et al. 2021, arXiv:2104.09864, Eq. 34, one third of the pairs for each axis, with the wavelengths
stretched per axis as in diffusers' Cosmos classes (base 10 000 * stretch ** (d / (d - 2))).
"""

import torch
from torch import Tensor

Tables = tuple[Tensor, Tensor]  # cos, sin [n head_dim], float32


def positions(frames: int, height: int, width: int, first: int = 0) -> Tensor:
    """(t, h, w) of each token, [n 3] int64, in the tokens' order; `first` is the first frame's number."""
    axes = (torch.arange(first, first + frames), torch.arange(height), torch.arange(width))
    return torch.cartesian_prod(*axes)


def tables(places: Tensor, head_dim: int, stretch: tuple[float, float, float]) -> Tables:
    """The rotations of tokens at `places` [n 3].

    Args:
        head_dim: even, at least 18: height and width get head_dim // 6 pairs each, time the rest.
        stretch: per axis t, h, w.
    """
    side = head_dim // 6 * 2
    angles = []
    for axis, size in enumerate((head_dim - 2 * side, side, side)):
        base = 10000.0 * stretch[axis] ** (size / (size - 2))
        rates = base ** -(torch.arange(0, size, 2, device=places.device, dtype=torch.float32) / size)
        angles.append(places[:, axis, None].float() * rates)
    whole = torch.cat(angles * 2, 1)
    return whole.cos(), whole.sin()


def rotate(x: Tensor, turns: Tables) -> Tensor:
    """x [b heads n d]; the pairs are (i, i + d/2). In float32, given back in the dtype of x."""
    cos, sin = (table.float() for table in turns)
    low, high = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-high, low], -1) * sin).to(x.dtype)
