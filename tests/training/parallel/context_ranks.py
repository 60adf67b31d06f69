"""Runs on each rank: compares context-parallel attention and its gradients with plain attention."""

import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from training.parallel.context import UlyssesAttention, join, split
from training.parallel.mesh import Mesh, ParallelDims, process_group


def main(ranks: int) -> None:
    torch.manual_seed(0)
    before, after = nn.Linear(8, 3 * 8), nn.Linear(8, 8)
    x, target = torch.randn(2, 12, 8), torch.randn(2, 12, 8)

    def run(attend, split_tokens, join_tokens):  # type: ignore[no-untyped-def]
        q, k, v = before(split_tokens(x)).unflatten(-1, (3, 4, 2)).permute(2, 0, 3, 1, 4)
        return after(join_tokens(attend(q, k, v).transpose(1, 2).flatten(2)))

    def gradients():  # type: ignore[no-untyped-def]
        return [p.grad for p in (*before.parameters(), *after.parameters())]

    whole = run(F.scaled_dot_product_attention, lambda x: x, lambda x: x)
    (whole - target).square().mean().backward()
    expected = [g.clone() for g in gradients()]
    for g in gradients():
        g.zero_()

    with process_group():
        group = Mesh(ParallelDims(context_parallel=ranks)).context_group
        attend = UlyssesAttention(F.scaled_dot_product_attention, group)
        shared = run(attend, lambda x: split(x, 1, group), lambda x: join(x, 1, group))
        torch.testing.assert_close(shared, whole)
        (shared - target).square().mean().backward()
        for got, whole_gradient in zip(gradients(), expected, strict=True):
            dist.all_reduce(got)
            torch.testing.assert_close(got / ranks, whole_gradient)


main(int(sys.argv[1]))
