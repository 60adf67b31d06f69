"""EMA of weights with a power function profile, whose width is a share of the training; used for sampling.

Source: Karras et al. 2024, arXiv:2312.02696, Eq. 121-123 and Algorithm 2 (power function averages).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class EMA:
    """A running average of the parameters of a model, in their dtype and layout.

    Args:
        model: The model. If it is sharded, it must be sharded before.
        sigma_rel: Standard deviation of the averaging profile as a share of the steps so far, between 0
            and 0.28.
    """

    def __init__(self, model: nn.Module, sigma_rel: float = 0.1) -> None:
        self.model = model
        self.gamma = sigma_rel_to_gamma(sigma_rel)
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after `step` steps (1, 2, …) to the average."""
        weight = 1 - (1 - 1 / step) ** (self.gamma + 1)
        parameters = dict(self.model.named_parameters())
        for name, average in self.weights.items():
            average.lerp_(parameters[name].detach(), weight)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.weights)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self.weights.items():
            average.copy_(state[name])


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
