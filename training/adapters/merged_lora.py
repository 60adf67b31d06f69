"""Weights of a network with its adapters (LoRA) merged into them, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from training.adapters.weight_files import Weights
from training.networks.lora import LORA_A, LORA_B, is_adapter


def merge_lora(weights: Mapping[str, Tensor], scale: float) -> Weights:
    """The weights of the network without adapters, float32: W + scale * B A, computed when it is looked up.

    Args:
        weights: All weights by name. If they are distributed tensors, all ranks must look up the same names
            in the same order.
        scale: alpha / rank.
    """
    return Weights({name: _Merged(weights, name, scale) for name in weights if not is_adapter(name)})


@dataclass(frozen=True)
class _Merged:
    """A weight with its adapter, with the interface of a slice of a safetensors file."""

    weights: Mapping[str, Tensor]
    name: str
    scale: float

    def get_shape(self) -> list[int]:
        if isinstance(self.weights, Weights):
            return list(self.weights.shape(self.name))
        return list(self.weights[self.name].shape)

    def get_dtype(self) -> str:
        return "F32"

    def __getitem__(self, index: Any) -> Tensor:
        weight, stem = self._read(self.name), self.name.removesuffix(".weight")
        if stem + LORA_A in self.weights:
            lora_a, lora_b = self._read(stem + LORA_A), self._read(stem + LORA_B)
            weight = torch.addmm(weight, lora_b, lora_a, alpha=self.scale)
        part: Tensor = weight[index]
        return part

    def _read(self, name: str) -> Tensor:
        weight = self.weights[name].detach()
        return (weight.full_tensor() if isinstance(weight, DTensor) else weight).float()
