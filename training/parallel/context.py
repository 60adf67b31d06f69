"""Context parallelism: the tokens of one clip are split over ranks, and attention still sees them all.

Before attention each rank holds some tokens of all heads, and an all-to-all gives it all tokens of some
heads; after attention another gives them back. Source: Jacobs et al. 2023, arXiv:2309.14509
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


class Ulysses:
    """An attention over the tokens of all ranks of a group, made from one over local tokens."""

    def __init__(self, attend: Attend, group: dist.ProcessGroup) -> None:
        self.attend, self.group, self.ranks = attend, group, dist.get_world_size(group)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [b heads n/ranks d] to [b heads n/ranks d]; attention sees all n tokens.

        Raises:
            LayoutError: the heads cannot be shared equally.
        """
        if q.shape[1] % self.ranks:
            raise LayoutError(f"{q.shape[1]} heads cannot be shared by {self.ranks} context ranks")
        q, k, v = (exchange(x, give=1, take=2, group=self.group) for x in (q, k, v))
        return exchange(self.attend(q, k, v), give=2, take=1, group=self.group)


class Splits(Protocol):
    """A network whose tokens can be split, see `training/README.md`."""

    attend: Attend
    split: Callable[[Tensor, int], Tensor]
    join: Callable[[Tensor, int], Tensor]


def share_context(network: Splits, group: dist.ProcessGroup) -> None:
    """Let the ranks of `group` share the tokens of each clip, in a network that was written for one."""
    network.attend = Ulysses(network.attend, group)
    network.split = partial(split, group=group)
    network.join = partial(join, group=group)


def exchange(x: Tensor, *, give: int, take: int, group: dist.ProcessGroup) -> Tensor:
    """Split `x` along axis `give` over the ranks, and join what they send along axis `take`."""
    out: Tensor = _Exchange.apply(x, give, take, group)  # type: ignore[no-untyped-call]
    return out


def split(x: Tensor, axis: int, group: dist.ProcessGroup) -> Tensor:
    """This rank's equal share of `x` along `axis`.

    Raises:
        LayoutError: the length cannot be shared equally.
    """
    ranks, rank = dist.get_world_size(group), dist.get_rank(group)
    if x.shape[axis] % ranks:
        raise LayoutError(
            f"{x.shape[axis]} tokens cannot be shared equally by {ranks} context ranks",
            remedy="choose a size or a number of frames whose tokens divide, or fewer context ranks",
        )
    each = x.shape[axis] // ranks
    return x.narrow(axis, rank * each, each)


def join(x: Tensor, axis: int, group: dist.ProcessGroup) -> Tensor:
    """The shares of all ranks, laid end to end along `axis`.

    Every rank goes on with the whole, so every rank has the whole gradient too. Parameters before the join
    get the gradients of this rank's tokens alone, and sharding averages over context ranks, not sums: so the
    gradient that passes here is multiplied by the number of ranks.
    """
    out: Tensor = _Join.apply(x, axis, group)  # type: ignore[no-untyped-call]
    return out


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, give: int, take: int, group: dist.ProcessGroup) -> Tensor:
        ctx.give, ctx.take, ctx.group = give, take, group
        return _all_to_all(x, give, take, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _all_to_all(grad, ctx.take, ctx.give, ctx.group), None, None, None


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


def _all_to_all(x: Tensor, give: int, take: int, group: dist.ProcessGroup) -> Tensor:
    ranks = dist.get_world_size(group)
    sent = torch.stack(x.chunk(ranks, give)).contiguous()
    got = torch.empty_like(sent)
    dist.all_to_all_single(got, sent, group=group)
    return torch.cat(got.unbind(), take)
