"""Context parallelism: ranks share the tokens of one clip, and attention covers all of them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from training.errors import LayoutError
from training.networks.token_share import Grid, TokenShare
from training.parallel.attention import SharedAttention
from training.parallel.collectives import all_gather, even_shares


class ContextParallel:
    """Divides the tokens of clips among the ranks of a group; a network takes it as its `share_tokens`.

    Args:
        group: The ranks that share the tokens of a clip.
        method: How attention covers the tokens of all ranks: "ulysses", "allgather" or "ring".
    """

    def __init__(self, group: dist.ProcessGroup, method: str) -> None:
        self.group, self.method = group, method
        self._attend: dict[tuple[int, ...], SharedAttention] = {}

    def __call__(self, grid: Grid) -> TokenShare:
        """The tokens of this rank.

        Raises:
            LayoutError: There are fewer tokens than ranks.
        """
        rank, lengths = dist.get_rank(self.group), token_lengths(grid, dist.get_world_size(self.group))
        start = sum(lengths[:rank])
        # the same object for each clip of this size, because compiled blocks depend on it
        attend = self._attend.setdefault(tuple(lengths), SharedAttention(self.method, self.group, lengths))
        return TokenShare(start, start + lengths[rank], attend, lambda x: join(x, lengths, self.group))


def token_lengths(grid: Grid, ranks: int) -> list[int]:
    """The number of tokens of each rank: whole rows of a frame if there are enough of them.

    Raises:
        LayoutError: There are fewer tokens than ranks.
    """
    tokens = math.prod(grid)
    if tokens < ranks:
        raise LayoutError(
            f"{tokens} tokens of a clip cannot be divided among {ranks} context ranks",
            remedy="choose a smaller context_parallel",
        )
    row = grid[2] if grid[0] * grid[1] >= ranks else 1
    return [rows * row for rows in even_shares(tokens // row, ranks)]


def join(x: Tensor, lengths: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """[b n d] of the tokens of this rank to those of all ranks.

    Every rank continues with the whole tensor, so every rank has the whole gradient. Parameters before the
    join get only the gradients of this rank's tokens, and FSDP averages over context ranks instead of adding.
    So the backward pass multiplies the gradient by the number of ranks.
    """
    out: Tensor = _Join.apply(x, lengths, group)  # type: ignore[no-untyped-call]
    return out


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        ctx.lengths, ctx.group = lengths, group
        return all_gather(x, 1, lengths, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        own = grad.split_with_sizes(list(ctx.lengths), 1)[dist.get_rank(ctx.group)]
        return own * len(ctx.lengths), None, None
