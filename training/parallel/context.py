"""Context parallelism: ranks share the tokens of one clip, and attention covers all of them.

Before attention each rank has some tokens of all heads, and an all-to-all gives it all tokens of some heads.
After attention a second all-to-all reverses this. Source: Jacobs et al. 2023, arXiv:2309.14509
(DeepSpeed-Ulysses).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from training.errors import LayoutError

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v [b heads n d] -> [b heads n d]


class UlyssesAttention:
    """Turns an attention over local tokens into one over the tokens of all ranks of a group."""

    def __init__(self, attend: Attend, group: dist.ProcessGroup) -> None:
        self.attend, self.group, self.ranks = attend, group, dist.get_world_size(group)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [b heads n/ranks d] to [b heads n/ranks d]; attention covers all n tokens.

        Raises:
            LayoutError: The heads cannot be divided equally.
        """
        if q.shape[1] % self.ranks:
            raise LayoutError(
                f"{q.shape[1]} heads cannot be divided equally among {self.ranks} context ranks",
                remedy="choose context_parallel so that it divides the heads",
            )
        q, k, v = (all_to_all(x, split_axis=1, join_axis=2, group=self.group) for x in (q, k, v))
        return all_to_all(self.attend(q, k, v), split_axis=2, join_axis=1, group=self.group)


class ContextParallelNetwork(Protocol):
    """A network whose tokens can be divided among ranks, see `training/README.md`."""

    attend: Attend
    split: Callable[[Tensor, int], Tensor]
    join: Callable[[Tensor, int], Tensor]


def apply_context_parallel(network: ContextParallelNetwork, group: dist.ProcessGroup) -> None:
    """Let the ranks of `group` share the tokens of each clip, in place."""
    network.attend = UlyssesAttention(network.attend, group)
    network.split = partial(split, group=group)
    network.join = partial(join, group=group)


def all_to_all(x: Tensor, *, split_axis: int, join_axis: int, group: dist.ProcessGroup) -> Tensor:
    """Split `x` along `split_axis` over the ranks, and join what the ranks send along `join_axis`."""
    out: Tensor = _AllToAll.apply(x, split_axis, join_axis, group)  # type: ignore[no-untyped-call]
    return out


def split(x: Tensor, axis: int, group: dist.ProcessGroup) -> Tensor:
    """The equal share of `x` along `axis` that belongs to this rank.

    Raises:
        LayoutError: The length cannot be divided equally.
    """
    ranks, rank = dist.get_world_size(group), dist.get_rank(group)
    if x.shape[axis] % ranks:
        raise LayoutError(
            f"{x.shape[axis]} tokens cannot be divided equally among {ranks} context ranks",
            remedy="choose a size or a number of frames whose tokens divide, or a smaller context_parallel",
        )
    length = x.shape[axis] // ranks
    return x.narrow(axis, rank * length, length)


def join(x: Tensor, axis: int, group: dist.ProcessGroup) -> Tensor:
    """The shares of all ranks, concatenated along `axis`.

    Every rank continues with the whole tensor, so every rank has the whole gradient. Parameters before the
    join get only the gradients of this rank's tokens, and FSDP averages over context ranks instead of adding.
    So the backward pass multiplies the gradient by the number of ranks.
    """
    out: Tensor = _Join.apply(x, axis, group)  # type: ignore[no-untyped-call]
    return out


class _AllToAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, split_axis: int, join_axis: int, group: dist.ProcessGroup) -> Tensor:
        ctx.split_axis, ctx.join_axis, ctx.group = split_axis, join_axis, group
        return _exchange(x, split_axis, join_axis, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _exchange(grad, ctx.join_axis, ctx.split_axis, ctx.group), None, None, None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, group: dist.ProcessGroup) -> Tensor:
        ctx.axis, ctx.group = axis, group
        shares = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
        dist.all_gather(shares, x.contiguous(), group=group)
        return torch.cat(shares, axis)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return split(grad, ctx.axis, ctx.group) * dist.get_world_size(ctx.group), None, None


def _exchange(x: Tensor, split_axis: int, join_axis: int, group: dist.ProcessGroup) -> Tensor:
    ranks = dist.get_world_size(group)
    sent = torch.stack(x.chunk(ranks, split_axis)).contiguous()
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent, group=group)
    return torch.cat(received.unbind(), join_axis)
