"""Low-rank adapters of linear layers, which train while the layers themselves stay frozen.

Source: Hu et al. 2021, arXiv:2106.09685, Eq. 3. Names of weights are those of peft: NAME.lora_A.weight
[rank in] and NAME.lora_B.weight [out rank].
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training.errors import SettingError
from training.networks.config import is_condition_layer

LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"


class LoRALinear(nn.Linear):
    """A linear layer with an adapter: x W^T + scale * x A^T B^T. Its own weight has its usual name."""

    lora_scale: float
    lora_A: nn.Linear
    lora_B: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        update: Tensor = self.lora_B(self.lora_A(x))
        return super().forward(x) + self.lora_scale * update


def add_lora(network: nn.Module, rank: int, alpha: float, target_modules: Sequence[str]) -> None:
    """Freeze a network, and give its linear layers adapters, in place. Do it before the network is sharded.

    Layers that read actions, a camera, a trajectory or other views are not frozen and get no adapters,
    because they are new to the network.

    A is drawn like any weight, and B is zero, so the output does not change. On the meta device, call
    `reset_parameters` of the network and `zero_lora` when it has values.

    Args:
        network: The network.
        rank: Inner width of the adapters.
        alpha: The output of an adapter is multiplied by alpha / rank.
        target_modules: Names of linear layers, or ends of names such as to_q.

    Raises:
        SettingError: A name is that of no linear layer.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_condition_layer(name))
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not is_condition_layer(name)
    }
    for target in target_modules:
        found = {name: layer for name, layer in layers.items() if f".{name}".endswith(f".{target}")}
        if not found:
            ends = sorted({name.rpartition("transformer_blocks.0.")[2] for name in layers if ".0." in name})
            raise SettingError(
                f"lora_target_modules: the network has no linear layer {target!r}",
                remedy=f"choose for example from {', '.join(ends[:12])}",
            )
        for layer in found.values():
            _add_adapter(layer, rank, alpha / rank)


@torch.no_grad()
def zero_lora(network: nn.Module) -> None:
    """Set B of all adapters to zero, so that they change nothing."""
    for name, parameter in network.named_parameters():
        if name.endswith(LORA_B):
            parameter.zero_()


def _add_adapter(layer: nn.Linear, rank: int, scale: float) -> None:
    if isinstance(layer, LoRALinear):  # two targets name it
        return
    weight = layer.weight
    layer.__class__ = LoRALinear
    assert isinstance(layer, LoRALinear)
    with torch.device(weight.device):
        layer.lora_A = nn.Linear(layer.in_features, rank, bias=False, dtype=weight.dtype)
        layer.lora_B = nn.Linear(rank, layer.out_features, bias=False, dtype=weight.dtype)
    layer.lora_scale = scale
    nn.init.zeros_(layer.lora_B.weight)


def is_adapter(name: str) -> bool:
    """Whether a weight of this name belongs to an adapter."""
    return name.endswith((LORA_A, LORA_B))


def peft_state_dict(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The adapters in the form of peft with alpha equal to the rank: B is multiplied by the scale."""
    return {
        name: (weight * scale if name.endswith(LORA_B) else weight).contiguous()
        for name, weight in weights.items()
        if is_adapter(name)
    }
