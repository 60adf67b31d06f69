"""Running averages of the weights of a model, which are used for validation, sampling and export.

- power: the profile is a power function, whose width is a share of the training. Source: Karras et al. 2024,
  arXiv:2312.02696, Eq. 121-123 and Algorithm 2.
- fixed: an exponential profile with a fixed decay, which is lower in the first steps, as diffusers'
  `EMAModel` has it.
- none: the weights themselves.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from training.errors import SettingError


class EMA:
    """A running average of the parameters of a model, in their dtype and layout, with the power profile.

    Args:
        model: The model. If it is sharded, it must be sharded before.
        sigma_rel: Standard deviation of the averaging profile as a share of the steps so far, between 0
            and 0.28.

    Attributes:
        weights: The average by parameter name.
    """

    def __init__(self, model: nn.Module, sigma_rel: float = 0.1) -> None:
        self.model = model
        self.gamma = sigma_rel_to_gamma(sigma_rel)
        self.weights = self._initial_weights()

    def share_of_last(self, step: int) -> float:
        """The share of the weights after `step` steps (1, 2, …) in the average."""
        return float(1 - (1 - 1 / step) ** (self.gamma + 1))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after `step` steps (1, 2, …) to the average."""
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        averages = [_local(self.weights[name]) for name, _ in trained]
        weights = [_local(parameter.detach()) for _, parameter in trained]
        torch._foreach_lerp_(averages, weights, self.share_of_last(step))

    def state_dict(self) -> dict[str, Tensor]:
        """The average of the parameters that are trained."""
        return {name: self.weights[name] for name, p in self.model.named_parameters() if p.requires_grad}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over an average. What it lacks begins at the weights of the model."""
        parameters = dict(self.model.named_parameters())
        for name, average in self.state_dict().items():
            average.copy_(state.get(name, parameters[name].detach()))

    def _initial_weights(self) -> dict[str, Tensor]:
        """Copies of the weights; frozen ones are their own average."""
        parameters = self.model.named_parameters()
        return {name: p.detach().clone() if p.requires_grad else p.detach() for name, p in parameters}


class FixedEMA(EMA):
    """The average with the decay min(decay, (1 + step) / (10 + step)).

    Args:
        model: The model. If it is sharded, it must be sharded before.
        decay: Share of the average that a step keeps, between 0 and 1.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999) -> None:
        self.model, self.decay = model, decay
        self.weights = self._initial_weights()

    def share_of_last(self, step: int) -> float:
        return 1 - min(self.decay, (1 + step) / (10 + step))


class NoEMA(EMA):
    """The weights themselves, without a copy."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = {name: p.detach() for name, p in model.named_parameters()}

    def update(self, step: int) -> None:
        """Do nothing: the average is the weights."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: the weights are stored with the model."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Do nothing: the weights are loaded with the model."""


def build_ema(model: nn.Module, kind: str, *, sigma_rel: float = 0.1, decay: float = 0.9999) -> EMA:
    """The average of a kind: "power", "fixed" or "none".

    Raises:
        SettingError: There is no such kind.
    """
    if kind == "power":
        return EMA(model, sigma_rel)
    if kind == "fixed":
        return FixedEMA(model, decay)
    if kind == "none":
        return NoEMA(model)
    raise SettingError(f"there is no ema {kind!r}", remedy="choose power, fixed or none")


def _local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this rank holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def sigma_rel_to_gamma(sigma_rel: float) -> float:
    """The exponent gamma with sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).

    Raises:
        ValueError: `sigma_rel` is not between 0 and 0.28.
    """
    if not 0 < sigma_rel < 0.28:
        raise ValueError(f"sigma_rel is {sigma_rel}; it must be between 0 and 0.28")
    low, high = 0.0, 1.0 / sigma_rel**2
    for _ in range(80):
        gamma = (low + high) / 2
        if (gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)) > sigma_rel**2:
            low = gamma
        else:
            high = gamma
    return low
