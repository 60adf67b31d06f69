"""Memory of the activations of a training step, counted on the meta device, where tensors have no values.

The real network runs forward and backward, so the count stays right when the network changes.
"""

import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from training.diffusion.conditioning import Conditioning
from training.networks.config import RAY_CHANNELS, VideoDiTConfig
from training.networks.registry import NetworkConfig, find_config
from training.networks.token_share import Grid, TokenShare
from training.networks.video_dit import VideoDiT
from training.parallel.collectives import even_shares
from training.parallel.context import token_lengths
from training.parallel.sharding import PRECISIONS, apply_activation_checkpointing
from training.recipes.choose_network import read_frame_conditions, read_given, read_planes
from training.recipes.config import TrainingSettings
from training.tokenizers.weights import PIXELS, pixels_patch
from training.world_model import WorldModel


@dataclass(frozen=True)
class StepMemory:
    """Bytes of activations on one rank; weights and their gradients are not included.

    Attributes:
        saved: What the forward pass saves for the backward pass.
        peak: The maximum, with the temporary tensors of the backward pass.
    """

    saved: int
    peak: int


class PlannedConditions(NamedTuple):
    """The per-frame conditions of a training that is planned.

    Attributes:
        action_dim: Numbers of all actions of a latent frame; 0: no actions.
        camera_injection: Where the rays of the camera enter the network; "": no camera.
    """

    action_dim: int = 0
    camera_injection: str = ""


NO_CONDITIONS = PlannedConditions()


def planned_network(
    settings: TrainingSettings, channels: int, conditions: PlannedConditions
) -> NetworkConfig:
    """The config of the network of a training that is planned.

    Latents with the channels of a tokenizer of pixels are taken for its latents.

    Raises:
        SettingError: The network cannot read the conditions.
    """
    network = replace(find_config(settings.model), channels=channels)
    network = read_given(network, settings)
    if conditions != NO_CONDITIONS:
        injection = conditions.camera_injection
        network = read_frame_conditions(network, injection, conditions.action_dim, bool(injection))
    patch = next((patch for patch in map(pixels_patch, PIXELS) if channels == 3 * patch**2), 0)
    return read_planes(network, settings, patch)


def count_step_memory(
    settings: TrainingSettings,
    shape: tuple[int, ...],
    text_tokens: int,
    activation_checkpointing: str,
    conditions: PlannedConditions = NO_CONDITIONS,
) -> StepMemory:
    """Count the activations of one microbatch of latents [b c t h w].

    It runs transformers of two and three blocks, because each further block adds the same, and a whole U-Net.

    Args:
        settings: `precision` is "fp32" or "bf16".
        shape: Latents of this rank's microbatch; context ranks share them.
        text_tokens: Text tokens per clip.
        activation_checkpointing: The mode, as in the settings.
        conditions: What the network also reads.
    """
    config = planned_network(settings, shape[1], conditions)
    if not isinstance(config, VideoDiTConfig):
        return _run(settings, config, shape, text_tokens, activation_checkpointing)
    two, three = (
        _run(settings, replace(config, num_layers=blocks), shape, text_tokens, activation_checkpointing)
        for blocks in (2, 3)
    )
    further = config.num_layers - 3
    return StepMemory(
        three.saved + further * (three.saved - two.saved), three.peak + further * (three.peak - two.peak)
    )


def _run(
    settings: TrainingSettings, config: NetworkConfig, shape: tuple[int, ...], text_tokens: int, mode: str
) -> StepMemory:
    with torch.device("meta"):
        model = WorldModel(config, settings.diffusion, "none").to(PRECISIONS[settings.precision])
        noisy, t = torch.empty(shape), torch.empty(shape[0])
        text = torch.empty(
            shape[0], text_tokens, config.text_input_dim, requires_grad=settings.text_encoder != "none"
        )
        known = _known_conditions(config, shape)
    _share_tokens(model, settings.context_parallel_method, settings.context_parallel)
    block_list: list[nn.Module] = list(model.network.transformer_blocks)
    for block in block_list:
        block.forward = partial(_with_fused_attention, block.forward)
    apply_activation_checkpointing(block_list, mode)
    counter = _StorageCounter()
    for tensor in (*model.parameters(), noisy, t, text, *known.values()):
        counter.exclude(tensor)
    for leaf in (*model.parameters(), text):
        if leaf.requires_grad:
            leaf.register_post_accumulate_grad_hook(_drop_gradient)  # type: ignore[no-untyped-call]
    with counter:
        clean = model.denoiser(noisy, t, Conditioning(text_embeddings=text, **known))
        loss = (clean - noisy).square().mean()
        saved = counter.bytes
        loss.backward()
    return StepMemory(saved, counter.peak)


def _known_conditions(config: NetworkConfig, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """The fields of `Conditioning` that the network reads per frame."""
    known: dict[str, Tensor] = {}
    if config.action_dim:
        known["action"] = torch.empty(shape[0], shape[2], config.action_dim)
    if config.camera_injection:
        known["camera"] = torch.empty(shape[0], RAY_CHANNELS, *shape[2:])
    if config.concat_last_given:
        known["condition_mask"] = torch.empty(shape[0], 1, *shape[2:])
        known["condition_latents"] = torch.empty(shape)
    return known


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None


def _share_tokens(model: WorldModel, method: str, ranks: int) -> None:
    """Give the network the shapes of the first of `ranks` context ranks, which has the largest share."""
    network = model.network
    if ranks == 1 or not isinstance(network, VideoDiT):
        return

    def share(grid: Grid) -> TokenShare:
        tokens, own = math.prod(grid), token_lengths(grid, ranks)[0]

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if method == "ulysses":
                heads = even_shares(q.shape[1], ranks)[0]
                q = _resized(q, heads, tokens)
                k, v = _resized(k, heads, tokens), _resized(v, heads, tokens)
            elif method == "allgather":
                k, v = _resized(k, k.shape[1], tokens), _resized(v, v.shape[1], tokens)
            out: Tensor = _FusedAttention.apply(q, k, v)  # type: ignore[no-untyped-call]
            return _resized(out, network.config.num_attention_heads, own)

        return TokenShare(0, own, attend, lambda x: _resized(x[:, None], 1, tokens)[:, 0])

    network.share_tokens = share


def _resized(x: Tensor, heads: int, tokens: int) -> Tensor:
    """A tensor [b heads n d] that depends on `x` and has another number of heads and tokens."""
    repeats = -(-heads // x.shape[1]), -(-tokens // x.shape[2])
    return x.repeat(1, *repeats, 1)[:, :heads, :tokens].contiguous()


class _StorageCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that operations create and that are still alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self._seen = WeakIdKeyDictionary()

    def exclude(self, tensor: Tensor) -> None:
        """Do not count this tensor and its views."""
        self._seen[tensor.untyped_storage()] = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in self._seen:
                storage = tensor.untyped_storage()
                self._seen[storage] = True
                size = storage.nbytes()
                self.bytes += size
                self.peak = max(self.peak, self.bytes)
                weakref.finalize(storage, self._free, size)
        return out

    def _free(self, size: int) -> None:
        self.bytes -= size


def _with_fused_attention(function: Callable[..., Tensor], *args: Any) -> Tensor:
    with _FusedAttentionMode():
        return function(*args)


class _FusedAttentionMode(TorchFunctionMode):
    """Replaces attention, which on the meta device would keep all products of queries and keys."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is nn.functional.scaled_dot_product_attention:
            return _FusedAttention.apply(*args[:3])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


class _FusedAttention(torch.autograd.Function):
    """Attention with the memory of fused kernels, and without values.

    Source: Dao et al. 2022, arXiv:2205.14135, section 3.1.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out, q.new_empty(q.shape[:3], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(x) for x in ctx.saved_tensors[:3])
