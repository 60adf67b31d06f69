"""The rows and the probabilities of ids: one per id, or computed from the levels of their FSQ codes.

With levels, an id that is seldom or never in the training data shares its rows with similar codes, and the
network has few parameters outside its blocks.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LevelEmbedding(nn.Module):
    """The sum of one row for each level of an id, whose first level varies fastest, as in `FSQ.to_indices`.

    <bov> has a row of its own, the last one.
    """

    def __init__(self, levels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.weight = nn.Parameter(torch.empty(sum(levels) + 1, width))

    def forward(self, ids: Tensor) -> Tensor:
        """The rows of ids [… ] and of <bov>, whose id is the product of the levels, [… d]."""
        digits, first = digits_of(ids, self.levels), 0
        is_special = ids >= math.prod(self.levels)
        out = is_special[..., None] * self.weight[-1]
        for digit, count in zip(digits, self.levels, strict=True):
            out = out + nn.functional.embedding(digit + first, self.weight) * ~is_special[..., None]
            first += count
        return out


class LevelHead(nn.Module):
    """A mixture of `mixtures` predictions, each of which predicts every level by itself.

    One such prediction alone has independent levels. Source: Yang et al. 2018, arXiv:1711.03953 (mixture of
    softmaxes).
    """

    def __init__(self, levels: Sequence[int], width: int, mixtures: int) -> None:
        super().__init__()
        self.levels, self.mixtures = tuple(levels), mixtures
        self.linear = nn.Linear(width, mixtures * (1 + sum(levels)), bias=False)

    def log_probs(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """log p of ids […], float32, from hidden [… d], without the probabilities of all ids."""
        weights, levels = self._parts(hidden)
        for part, digit in zip(levels, digits_of(ids, self.levels), strict=True):
            index = digit[..., None, None].expand(*weights.shape, 1)
            weights = weights + part.gather(-1, index)[..., 0]
        return weights.logsumexp(-1)

    def logits(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """log p of all ids or of some, [… ids], float32: a product of the first and of the other levels."""
        weights, levels = self._parts(hidden)
        middle = len(levels) // 2
        low = _joint(levels[:middle]) if middle else torch.zeros_like(weights)[..., None]
        high = _joint(levels[middle:]) + weights[..., None]  # [… mixtures ids]
        probabilities = high.exp().transpose(-1, -2) @ low.exp()
        probabilities = probabilities.flatten(-2)
        probabilities = probabilities if ids is None else probabilities[..., ids]
        return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()

    def _parts(self, hidden: Tensor) -> tuple[Tensor, list[Tensor]]:
        """log of the weight of each prediction [… k], and of the probabilities of levels, [… k levels]."""
        out = self.linear(hidden).float()
        out = out.reshape(*out.shape[:-1], self.mixtures, -1)
        levels = torch.split(out[..., 1:], list(self.levels), -1)
        return out[..., 0].log_softmax(-1), [each.log_softmax(-1) for each in levels]


def digits_of(ids: Tensor, levels: Sequence[int]) -> list[Tensor]:
    """The level of each digit of ids; the last one is taken modulo its number of levels."""
    digits = []
    for count in levels:
        digits.append(ids % count)
        ids = ids // count
    return digits


def _joint(levels: Sequence[Tensor]) -> Tensor:
    """log p of all combinations of levels [… k], the first of which varies fastest."""
    out = levels[0]
    for part in levels[1:]:
        out = (part[..., None] + out[..., None, :]).flatten(-2)
    return out
