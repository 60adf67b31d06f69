"""Finite scalar quantization (FSQ). Source: Mentzer et al. 2023, arXiv:2309.15505."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPS = 1e-3


class FSQ(nn.Module):
    """Rounds each of d channels to one of a few levels. The values of all channels together are a code.

    All is computed in float32, because other types cannot represent each index.

    Args:
        levels: Levels of each channel, at least 2.
    """

    half_width: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels must be at least 2, not {tuple(levels)}")
        self.levels = tuple(levels)
        basis = [math.prod(self.levels[:k]) for k in range(len(self.levels))]
        self.register_buffer("half_width", torch.tensor(self.levels) // 2, persistent=False)
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return math.prod(self.levels)

    def forward(self, z: Tensor) -> Tensor:
        """Quantize z [… d] to codes in -1..1. The gradient is that of the bounded z (straight-through)."""
        bounded = self._bound(z.float())
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / self.half_width

    def to_indices(self, codes: Tensor) -> Tensor:
        """The index of each code [… d], int32 in 0..codebook_size - 1. The first channel varies fastest."""
        digits = (codes.float() * self.half_width).round().long() + self.half_width
        return (digits * self.basis).sum(-1).int()

    def to_codes(self, indices: Tensor) -> Tensor:
        """The code of each index: the inverse of `to_indices`. Any integer type is read, uint16 too.

        Raises:
            ValueError: An index is not in 0..codebook_size - 1.
        """
        wide = indices.to(torch.int64)
        if wide.numel() and not 0 <= int(wide.min()) <= int(wide.max()) < self.codebook_size:
            raise ValueError(f"an index is not in 0..{self.codebook_size - 1}: {wide.min()}..{wide.max()}")
        levels = torch.tensor(self.levels, device=wide.device)
        digits = wide[..., None] // self.basis % levels
        return (digits - self.half_width).float() / self.half_width

    def _bound(self, z: Tensor) -> Tensor:
        """z within the levels: -half_width..(levels - 1) / 2, before rounding."""
        levels = torch.tensor(self.levels, device=z.device)
        half = (levels - 1) * (1 + EPS) / 2
        offset = (levels % 2 == 0) * 0.5
        shift = (offset / half).atanh()
        return (z + shift).tanh() * half - offset
