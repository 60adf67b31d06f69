"""A running average of weights over a share of the training, whatever its length; the sampler's weights.

Source: Karras et al. 2024, arXiv:2312.02696, Eq. 121-123 and Algorithm 2 (power function averages).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class EMA:
    """The average of a model's parameters, in their dtype and layout.

    Args:
        model: what is averaged; already sharded, if it is to be.
        width_share: standard deviation of the average's profile as a share of the steps so far, 0..0.28.
    """

    def __init__(self, model: nn.Module, width_share: float = 0.1) -> None:
        self.model = model
        self.power = power_of(width_share)
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Take in the weights after `step` steps (1, 2, …)."""
        towards = 1 - (1 - 1 / step) ** (self.power + 1)
        now = dict(self.model.named_parameters())
        for name, mean in self.weights.items():
            mean.lerp_(now[name].detach(), towards)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.weights)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, mean in self.weights.items():
            mean.copy_(state[name])


def power_of(width_share: float) -> float:
    """The exponent whose profile has this relative width: width^2 = (g + 1) / ((g + 2)^2 (g + 3))."""
    if not 0 < width_share < 0.28:
        raise ValueError(f"width_share is {width_share}; it lies between 0 and 0.28")
    low, high = 0.0, 1.0 / width_share**2
    for _ in range(80):
        g = (low + high) / 2
        if (g + 1) / ((g + 2) ** 2 * (g + 3)) > width_share**2:
            low = g
        else:
            high = g
    return low
