"""FSDP2 over the mesh, with fp32 master weights; activation checkpointing; compilation of blocks.

Source: Zhao et al. 2023, arXiv:2304.11277, and torch.distributed.fsdp.fully_shard.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from training.parallel.mesh import Mesh

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}

aten = torch.ops.aten
STORED_OPERATIONS = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.convolution.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
}  # with selective activation checkpointing


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


def apply_activation_checkpointing(blocks: Sequence[nn.Module], mode: str) -> None:
    """Compute activations of the blocks again in the backward pass, instead of storing them.

    Call it before `apply_compile` and `apply_fsdp`. Source: Chen et al. 2016, arXiv:1604.06174.

    Args:
        blocks: Submodules whose input is stored.
        mode: "none"; "selective" also stores the outputs of matrix products, convolutions, attention; "full".
    """
    if mode == "none":
        return
    options: dict[str, Any] = {}
    if mode == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _choose_stored)
    for block in blocks:
        block.forward = _checkpointed(block.forward, options)


def _checkpointed(forward: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """A function of this file, because torch.compile skips the files of torch."""

    def run(*args: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **options)

    return run


def _choose_stored(context: object, operation: Any, *args: object, **kwargs: object) -> CheckpointPolicy:
    is_stored = operation in STORED_OPERATIONS
    return CheckpointPolicy.MUST_SAVE if is_stored else CheckpointPolicy.PREFER_RECOMPUTE


def apply_compile(blocks: Sequence[nn.Module]) -> None:
    """Compile each block alone, so blocks of equal shapes share the code. Call it before `apply_fsdp`."""
    for block in blocks:
        block.compile()


def set_gradient_sync(model: nn.Module, is_enabled: bool) -> None:
    """Whether the next backward pass reduces gradients over the ranks, or only adds them on each rank."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(is_enabled, recurse=False)


def reshard(model: nn.Module) -> None:
    """Free gathered parameters. A forward pass without a backward pass leaves them gathered."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def resolve_precision(precision: str, device: torch.device) -> str:
    """Replace "auto" by bf16 on a GPU, and by fp32 on a CPU, where bf16 is slow."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" else "fp32"
