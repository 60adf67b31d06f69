"""An uncertainty head: it learns the expected loss at each noise level, and is not used for sampling.

Source: Karras et al. 2024, arXiv:2312.02696, Eq. 21 and Appendix B.2 (Fourier features of c_noise).
"""

import math

import torch
from torch import Tensor, nn

from training.noise import normal, uniform

CHANNELS = 128


class UncertaintyHead(nn.Module):
    """u(c_noise), the logarithm of the expected loss: a linear map of fixed random Fourier features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(CHANNELS, 1, bias=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Predict 0, so that the loss begins without a weight. On the meta device this does nothing."""
        self.linear.weight.zero_()

    def forward(self, c_noise: Tensor) -> Tensor:
        """c_noise [b] to u [b], float32."""
        frequencies = normal(0, "uncertainty frequencies", [0], [CHANNELS], device=c_noise.device)
        phases = uniform(0, "uncertainty phases", [0], [CHANNELS], device=c_noise.device).float()
        angles = 2 * math.pi * (c_noise.float()[:, None] * frequencies + phases)
        out = nn.functional.linear(math.sqrt(2) * angles.cos(), self.linear.weight.float())
        return out[:, 0]
