"""Sharding a network over the mesh with FSDP2: fp32 masters, a lower precision where the work is done.

Source: Zhao et al. 2023, arXiv:2304.11277, and torch.distributed.fsdp.fully_shard.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from training.parallel.mesh import Mesh

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def shard(network: nn.Module, blocks: Sequence[nn.Module], mesh: Mesh, precision: str) -> None:
    """Shard a network in place, block by block; what lies outside the blocks is one more unit.

    Parameters and the sum of gradients stay fp32; where they are used, parameters are cast to `precision`.
    Inputs are not: the network casts them itself where it must, so that times and positions stay exact.

    Args:
        blocks: submodules that follow each other in the forward pass.
        precision: "fp32" or "bf16".
    """
    policy = MixedPrecisionPolicy(PRECISIONS[precision], torch.float32, cast_forward_inputs=False)
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1  # it is needed again at once, so it stays gathered
        fully_shard(block, mesh=mesh.sharding, mp_policy=policy, reshard_after_forward=not last)
    network.register_forward_hook(_own)
    fully_shard(network, mesh=mesh.sharding, mp_policy=policy, reshard_after_forward=False)


def _own(network: nn.Module, given: object, out: torch.Tensor) -> torch.Tensor:
    """A tensor that is no view of another: FSDP2 hangs its backward hooks on what a network returns."""
    return out.clone()


def recompute(blocks: Sequence[nn.Module]) -> None:
    """Keep only what enters each block, and compute the rest again in the backward pass.

    Source: Chen et al. 2016, arXiv:1604.06174. To be called before `shard`.
    """
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def chosen_precision(asked: str, device: torch.device) -> str:
    """ "auto" is bf16 on a GPU, and fp32 on a CPU, where bf16 is slow."""
    if asked != "auto":
        return asked
    return "bf16" if device.type == "cuda" else "fp32"
