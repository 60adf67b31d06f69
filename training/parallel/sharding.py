"""FSDP2 over the mesh, with fp32 master weights and mixed precision, and activation checkpointing.

Source: Zhao et al. 2023, arXiv:2304.11277, and torch.distributed.fsdp.fully_shard.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

from training.parallel.mesh import Mesh

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def apply_fsdp(network: nn.Module, blocks: Sequence[nn.Module], mesh: Mesh, precision: str) -> None:
    """Shard a network in place, block by block; everything outside the blocks is one more unit.

    Parameters and reduced gradients stay fp32. Parameters are cast to `precision` for computation. Inputs
    are not cast: the network does so itself where needed, so timesteps and positions stay exact.

    Args:
        blocks: Submodules that follow each other in the forward pass.
        precision: "fp32" or "bf16".
    """
    policy = MixedPrecisionPolicy(PRECISIONS[precision], torch.float32, cast_forward_inputs=False)
    for number, block in enumerate(blocks):
        is_last = number == len(blocks) - 1  # the backward pass needs it first, so it stays gathered
        fully_shard(block, mesh=mesh.fsdp_mesh, mp_policy=policy, reshard_after_forward=not is_last)
    network.register_forward_hook(_clone_output)
    fully_shard(network, mesh=mesh.fsdp_mesh, mp_policy=policy, reshard_after_forward=False)


def _clone_output(network: nn.Module, args: object, out: object) -> object:
    """Return tensors that are not views: FSDP2 attaches its backward hooks to the output of a network."""
    return tree_map_only(torch.Tensor, torch.clone, out)


def apply_activation_checkpointing(blocks: Sequence[nn.Module]) -> None:
    """Store only the input of each block, and compute its activations again in the backward pass.

    Call it before `apply_fsdp`. Source: Chen et al. 2016, arXiv:1604.06174.
    """
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Replace "auto" by bf16 on a GPU, and by fp32 on a CPU, where bf16 is slow."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" else "fp32"
