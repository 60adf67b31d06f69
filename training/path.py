"""Noise paths: how clean latents turn into noise.

A path mixes clean and noise as alpha(t) * clean + sigma(t) * noise, t from 0 (clean) to 1 (noise).
"""

import math
from typing import Protocol, runtime_checkable

import torch

from training.tensors import Latents, Level


@runtime_checkable
class Path(Protocol):
    """alpha falls from 1 to 0 and sigma rises from 0 to 1, both strictly."""

    def alpha(self, t: Level) -> Level: ...
    def sigma(self, t: Level) -> Level: ...


class RectifiedFlow:
    """A straight line. Source: Liu et al. 2022, arXiv:2209.03003, Eq. 1."""

    def alpha(self, t: Level) -> Level:
        return 1 - t

    def sigma(self, t: Level) -> Level:
        return t


class Cosine:
    """A quarter circle; keeps the variance. Source: Salimans & Ho 2022, arXiv:2202.00512, section 2."""

    def alpha(self, t: Level) -> Level:
        return torch.cos(t * math.pi / 2)

    def sigma(self, t: Level) -> Level:
        return torch.sin(t * math.pi / 2)


def mix(path: Path, clean: Latents, noise: Latents, t: Level) -> Latents:
    """The point at time t [b] on the path from `clean` to `noise`."""
    return wide(path.alpha(t)) * clean + wide(path.sigma(t)) * noise


def wide(level: Level) -> torch.Tensor:
    """[b] to [b 1 1 1 1], to scale latents."""
    return level.reshape(-1, 1, 1, 1, 1)
