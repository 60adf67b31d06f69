"""Runs on each rank: compares attention, its gradients and noise of shared clips with those of one rank."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from training.noise import normal
from training.parallel.context import ContextParallel
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.parallel.noise import SharedNormal

GRIDS = ((3, 2, 2), (5, 1, 3), (1, 2, 4))  # 12, 15 and 8 tokens


def compare(context: ContextParallel, grid: tuple[int, int, int], heads: int) -> None:
    tokens = grid[0] * grid[1] * grid[2]
    generator = torch.Generator().manual_seed(0)
    q, k, v, grad = torch.randn(4, 2, heads, tokens, 8, generator=generator)
    whole = [x.clone().requires_grad_() for x in (q, k, v)]
    expected = F.scaled_dot_product_attention(*whole)
    expected.backward(grad)  # type: ignore[no-untyped-call]
    share = context(grid)
    part = [share.split(x, 2).clone().requires_grad_() for x in (q, k, v)]
    out = share.attend(*part)
    torch.testing.assert_close(out, share.split(expected, 2), rtol=1e-5, atol=1e-6)
    joined = share.join(out.transpose(1, 2).flatten(2))
    torch.testing.assert_close(joined, expected.transpose(1, 2).flatten(2), rtol=1e-5, atol=1e-6)
    joined.backward(grad.transpose(1, 2).flatten(2))  # type: ignore[no-untyped-call]
    for x, y in zip(part, whole, strict=True):
        assert isinstance(y.grad, Tensor)
        expected_grad = share.split(y.grad, 2) * dist.get_world_size(context.group)
        torch.testing.assert_close(x.grad, expected_grad, rtol=1e-5, atol=1e-5)


with process_group():
    group = Mesh(ParallelDims(context_parallel=dist.get_world_size())).context_group
    for method in ("ulysses", "allgather", "ring"):
        for grid in GRIDS:
            compare(ContextParallel(group, method), grid, 5)
    for method in ("allgather", "ring"):
        compare(ContextParallel(group, method), GRIDS[1], 1)
    for shape in ((2, 5, 3, 3), (3, 1, 1, 1)):
        assert torch.equal(SharedNormal(group)(7, "noise", [3, 4], shape), normal(7, "noise", [3, 4], shape))
