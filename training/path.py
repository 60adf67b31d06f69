"""Noise paths: how clean latents become noise.

The noisy latents at timestep t are alpha(t) * clean + sigma(t) * noise, with t from 0 (clean) to 1 (noise).
"""

import math
from typing import Protocol, runtime_checkable

import torch

from training.tensors import Coefficient, Latents, Timestep


@runtime_checkable
class Path(Protocol):
    """alpha falls from 1 to 0 and sigma rises from 0 to 1, both strictly."""

    def alpha(self, t: Timestep) -> Coefficient: ...
    def sigma(self, t: Timestep) -> Coefficient: ...


class RectifiedFlow:
    """A straight line: sigma equals t. Source: Liu et al. 2022, arXiv:2209.03003, Eq. 1."""

    def alpha(self, t: Timestep) -> Coefficient:
        return 1 - t

    def sigma(self, t: Timestep) -> Coefficient:
        return t


class Cosine:
    """A quarter circle, which preserves the variance.

    Source: Salimans & Ho 2022, arXiv:2202.00512, section 2.
    """

    def alpha(self, t: Timestep) -> Coefficient:
        return torch.cos(t * math.pi / 2)

    def sigma(self, t: Timestep) -> Coefficient:
        return torch.sin(t * math.pi / 2)


def add_noise(path: Path, clean: Latents, noise: Latents, t: Timestep) -> Latents:
    """The noisy latents at the timesteps t [b]."""
    return expand_dims(path.alpha(t)) * clean + expand_dims(path.sigma(t)) * noise


def expand_dims(values: Coefficient) -> torch.Tensor:
    """[b] to [b 1 1 1 1], to multiply latents."""
    return values.reshape(-1, 1, 1, 1, 1)
