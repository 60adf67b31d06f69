"""Attention over the tokens of all ranks of a group, of which each rank has a share.

- ulysses: an all-to-all gives each rank all tokens of some heads, and a second one reverses this.
  Source: Jacobs et al. 2023, arXiv:2309.14509.
- allgather: each rank gathers the keys and values of all tokens. Source: Llama 3, arXiv:2407.21783, section
  3.3.2.
- ring: keys and values go around a ring of ranks, and each rank merges the results by their log-sum-exp.
  Source: Liu et al. 2023, arXiv:2310.01889.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from training.errors import LayoutError
from training.parallel.collectives import Rotation, all_gather, even_shares, exchange, reduce_scatter
from training.parallel.fused_attention import AttentionKernel, choose_kernel


class SharedAttention:
    """Attention of this rank's tokens to the tokens of all ranks.

    Args:
        method: One of `METHODS`.
        group: The ranks that share the tokens.
        lengths: Number of tokens of each rank.
    """

    def __init__(self, method: str, group: dist.ProcessGroup, lengths: Sequence[int]) -> None:
        self.function, self.group, self.lengths = METHODS[method], group, lengths

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [b heads n d] of this rank's n tokens to [b heads n d].

        Raises:
            LayoutError: The method needs more heads.
        """
        return self.function(q, k, v, self.group, self.lengths)


def ulysses(q: Tensor, k: Tensor, v: Tensor, group: dist.ProcessGroup, lengths: Sequence[int]) -> Tensor:
    """Each rank attends with some heads to all tokens. The number of heads need not divide.

    Raises:
        LayoutError: There are fewer heads than ranks.
    """
    ranks = dist.get_world_size(group)
    check_heads(q.shape[1], ranks)
    heads = even_shares(q.shape[1], ranks)
    q, k, v = all_to_all(torch.cat([q, k, v], -1), (1, heads), (2, lengths), group).chunk(3, -1)
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return all_to_all(out, (2, lengths), (1, heads), group)


def check_heads(heads: int, ranks: int) -> None:
    """Check that the method ulysses is possible.

    Raises:
        LayoutError: There are fewer heads than ranks.
    """
    if heads < ranks:
        raise LayoutError(
            f"{heads} attention heads cannot be divided among {ranks} context ranks",
            remedy="choose context_parallel_method=ring or allgather, or fewer context ranks",
        )


def allgather(q: Tensor, k: Tensor, v: Tensor, group: dist.ProcessGroup, lengths: Sequence[int]) -> Tensor:
    """Each rank attends with all heads from its tokens to all tokens, whose keys and values it gathers."""
    gathered: Tensor = _Gather.apply(torch.cat([k, v], -1), 2, lengths, group)  # type: ignore[no-untyped-call]
    k, v = gathered.chunk(2, -1)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v)


def ring(q: Tensor, k: Tensor, v: Tensor, group: dist.ProcessGroup, lengths: Sequence[int]) -> Tensor:
    """Each rank attends with all heads from its tokens to the tokens of one rank after another."""
    out: Tensor = _Ring.apply(q, k, v, group, lengths)  # type: ignore[no-untyped-call]
    return out


METHODS = {"ulysses": ulysses, "allgather": allgather, "ring": ring}


def all_to_all(
    x: Tensor,
    split: tuple[int, Sequence[int]],
    join: tuple[int, Sequence[int]],
    group: dist.ProcessGroup,
) -> Tensor:
    """`exchange` with a gradient."""
    out: Tensor = _AllToAll.apply(x, split, join, group)  # type: ignore[no-untyped-call]
    return out


class _AllToAll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        split: tuple[int, Sequence[int]],
        join: tuple[int, Sequence[int]],
        group: dist.ProcessGroup,
    ) -> Tensor:
        ctx.split, ctx.join, ctx.group = split, join, group
        return exchange(x, split=split, join=join, group=group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return exchange(grad, split=ctx.join, join=ctx.split, group=ctx.group), None, None, None


class _Gather(torch.autograd.Function):
    """Every rank uses the gathered tensor in another way, so the gradient is the sum over the ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, lengths: Sequence[int], group: dist.ProcessGroup) -> Tensor:
        ctx.arguments = axis, lengths, group
        return all_gather(x, axis, lengths, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return reduce_scatter(grad, *ctx.arguments), None, None, None


class _Ring(torch.autograd.Function):
    """Keys and values visit every rank; in the backward pass their gradients travel with them."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, group: dist.ProcessGroup, lengths: Sequence[int]
    ) -> Tensor:
        kernel, ranks, rank = choose_kernel(q), len(lengths), dist.get_rank(group)
        kv, rotation = torch.stack([k, v]), None
        out, lse = torch.zeros_like(q, dtype=torch.float32), None
        for step in range(ranks):
            if step < ranks - 1:
                shape = _with_tokens(kv, lengths[(rank - step - 1) % ranks])
                rotation = Rotation(kv, shape, group)
            part, part_lse = kernel.forward(q, kv[0], kv[1])
            out, lse = _merge(out, lse, part, part_lse)
            if step < ranks - 1 and rotation is not None:
                kv = rotation.wait()
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.group, ctx.lengths, ctx.kernel = group, lengths, kernel
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, lse = ctx.saved_tensors
        group, lengths, kernel = ctx.group, ctx.lengths, ctx.kernel
        ranks, rank = len(lengths), dist.get_rank(group)
        grad_q = torch.zeros_like(q, dtype=torch.float32)
        kv = torch.stack([k, v])
        grad_kv = torch.zeros_like(kv, dtype=torch.float32)
        for step in range(ranks):
            shape = _with_tokens(kv, lengths[(rank - step - 1) % ranks])
            rotation = Rotation(kv, shape, group) if step < ranks - 1 else None
            part_q, part_k, part_v = kernel.backward(grad, q, kv[0], kv[1], out, lse)
            grad_q += part_q
            grad_kv[0] += part_k
            grad_kv[1] += part_v
            grad_kv = Rotation(grad_kv, shape, group).wait()
            kv = rotation.wait() if rotation is not None else kv
        grad_kv = grad_kv.to(k.dtype)
        return grad_q.to(q.dtype), grad_kv[0], grad_kv[1], None, None


def _with_tokens(kv: Tensor, tokens: int) -> list[int]:
    """The shape of keys and values [2 b heads n d] for another number of tokens."""
    return [*kv.shape[:3], tokens, kv.shape[4]]


def _merge(out: Tensor, lse: Tensor | None, part: Tensor, part_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two sets of tokens from the results of both and their log-sum-exp."""
    if lse is None:
        return part.float(), part_lse
    merged = torch.logaddexp(lse, part_lse)
    weight = (part_lse - merged).exp()[..., : out.shape[2], None]
    return torch.lerp(out, part.float(), weight), merged


__all__ = ["METHODS", "AttentionKernel", "SharedAttention", "check_heads"]
