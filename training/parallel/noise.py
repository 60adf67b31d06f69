"""Noise of clips that several ranks share: each rank draws its part, and the ranks gather all parts."""

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from training.noise import normal
from training.parallel.collectives import all_gather, even_shares


class SharedNormal:
    """`training.noise.normal`, of which each rank of a group draws an equal part.

    Args:
        group: The ranks. All call it with equal arguments, and get equal numbers.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group

    def __call__(
        self,
        seed: int,
        purpose: str,
        positions: Sequence[int],
        shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Standard normal numbers, float32 [len(positions), *shape]."""
        count = math.prod(shape)
        lengths = even_shares(count, dist.get_world_size(self.group))
        start = sum(lengths[: (rank := dist.get_rank(self.group))])
        part = [(start, start + lengths[rank])]
        drawn = normal(seed, purpose, positions, [count], part=part, device=device)
        return all_gather(drawn, 1, lengths, self.group).view(len(positions), *shape)
