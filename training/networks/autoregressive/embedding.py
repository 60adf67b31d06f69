"""The rows of ids, in the input and in the output: a table, and with the levels of FSQ a sum over levels.

With levels the rows of similar codes are similar from the start of a training, and each level is seen in
many clips, so that small models learn from few clips.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LevelEmbedding(nn.Module):
    """One row for each level of each digit of an id; digit 0 varies fastest, as in `FSQ.to_indices`."""

    def __init__(self, levels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.weight = nn.Parameter(torch.empty(sum(levels), width))

    def forward(self, ids: Tensor) -> Tensor:
        """The sums of the rows of ids [… ] below the product of the levels, [… d]; zeros of other ids."""
        valid = ids < math.prod(self.levels)
        rows, first, rest = [], 0, ids.where(valid, 0)
        for count in self.levels:
            rows.append(first + rest % count)
            rest, first = rest // count, first + count
        embedded = nn.functional.embedding(torch.stack(rows, -1), self.weight).sum(-2)
        return embedded * valid[..., None]

    def logits(self, hidden: Tensor) -> Tensor:
        """The products of hidden [… d] with the row of each id, [… ids]."""
        out: Tensor | None = None
        for part in torch.split(hidden @ self.weight.T, list(self.levels), -1):
            out = part if out is None else (part[..., None] + out[..., None, :]).flatten(-2)
        assert out is not None
        return out
