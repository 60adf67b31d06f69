"""Noise paths: how clean latents become noise.

The noisy latents at timestep t are alpha(t) * clean + sigma(t) * noise. A path says which timesteps it has,
from `t_min` (almost clean) to `t_max` (noise). What a timestep means depends on the path.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch

from training.tensors import Coefficient, Latents, Timestep


@runtime_checkable
class Path(Protocol):
    """alpha is positive before `t_max`, sigma is 0 at timestep 0, and sigma / alpha rises strictly."""

    @property
    def t_min(self) -> float:
        """The lowest timestep of training. Sampling ends at timestep 0, where latents are clean."""
        ...

    @property
    def t_max(self) -> float:
        """The highest timestep, where sampling starts."""
        ...

    def alpha(self, t: Timestep) -> Coefficient: ...
    def sigma(self, t: Timestep) -> Coefficient: ...


@dataclass(frozen=True)
class RectifiedFlow:
    """A straight line: t is 0 (clean) to 1 (noise), and sigma equals t.

    Source: Liu et al. 2022, arXiv:2209.03003, Eq. 1.
    """

    t_min: float = 1e-3
    t_max: float = 1.0

    def alpha(self, t: Timestep) -> Coefficient:
        return 1 - t

    def sigma(self, t: Timestep) -> Coefficient:
        return t


@dataclass(frozen=True)
class Cosine:
    """A quarter circle, which preserves the variance: t is 0 (clean) to 1 (noise).

    Source: Salimans & Ho 2022, arXiv:2202.00512, section 2.
    """

    t_min: float = 1e-3
    t_max: float = 1.0

    def alpha(self, t: Timestep) -> Coefficient:
        return torch.sin((1 - t) * math.pi / 2)  # exactly 0 at t = 1, where the rounded cosine is negative

    def sigma(self, t: Timestep) -> Coefficient:
        return torch.sin(t * math.pi / 2)


@dataclass(frozen=True)
class EDM:
    """Noise is added and clean latents are not scaled: the timestep is sigma itself.

    Source: Karras et al. 2022, arXiv:2206.00364, Table 1. The bounds are those of Cosmos-Predict1.
    """

    t_min: float = 0.002
    t_max: float = 80.0

    def alpha(self, t: Timestep) -> Coefficient:
        return torch.ones_like(t)

    def sigma(self, t: Timestep) -> Coefficient:
        return t


@dataclass(frozen=True)
class DDPM:
    """A Markov chain of small steps, which preserves the variance: t is 0 (clean) to 1 (noise).

    t = (i + 1) / num_train_timesteps is the step i of the chain, 0 to num_train_timesteps - 1. Between two
    steps the logarithm of alpha is interpolated linearly. alpha is above 0 at t = 1.

    Source: Ho et al. 2020, arXiv:2006.11239, section 4 (linear); Nichol & Dhariwal 2021, arXiv:2102.09672,
    Eq. 17 (cosine).

    Attributes:
        schedule: "linear": the variance that a step adds rises linearly from 1e-4 to 0.02. "cosine": alpha is
            almost a quarter of a cosine.
        num_train_timesteps: Steps of the chain.

    Raises:
        ValueError: There is no such schedule, or no step.
    """

    schedule: str = "linear"
    num_train_timesteps: int = 1000

    def __post_init__(self) -> None:
        if self.schedule not in ("linear", "cosine") or self.num_train_timesteps < 1:
            raise ValueError(
                f"the schedule is {self.schedule!r} and num_train_timesteps {self.num_train_timesteps};"
                " linear or cosine, and at least 1"
            )

    @property
    def t_min(self) -> float:
        """The first step of the chain."""
        return 1 / self.num_train_timesteps

    @property
    def t_max(self) -> float:
        """The last step of the chain."""
        return 1.0

    def alpha(self, t: Timestep) -> Coefficient:
        return self._log_alpha(t).exp().to(t.dtype)

    def sigma(self, t: Timestep) -> Coefficient:
        return (-torch.expm1(2 * self._log_alpha(t))).sqrt().to(t.dtype)

    def _log_alpha(self, t: Timestep) -> torch.Tensor:
        table = _log_alphas(self.schedule, self.num_train_timesteps).to(t.device)
        place = t.double().clamp(0, 1) * self.num_train_timesteps
        before = place.floor().long().clamp(max=self.num_train_timesteps - 1)
        return torch.lerp(table[before], table[before + 1], place - before)


@lru_cache
def _log_alphas(schedule: str, steps: int) -> torch.Tensor:
    """ln(alpha) at t = 0 and after each step of a chain, float64 [steps + 1]."""
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    else:
        t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        alphas_cumprod = torch.cos((t + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(max=0.999)
    return torch.cat([betas.new_zeros(1), torch.log1p(-betas).cumsum(0) / 2])


def add_noise(path: Path, clean: Latents, noise: Latents, t: Timestep) -> Latents:
    """The noisy latents at the timesteps t [b], or [b t] with one timestep per frame."""
    return expand_dims(path.alpha(t)) * clean + expand_dims(path.sigma(t)) * noise


def timestep_at(path: Path, noise_ratio: float) -> float:
    """The timestep at which sigma / alpha is `noise_ratio`, by bisection; at most `t_max`."""
    low, high = 0.0, path.t_max
    for _ in range(60):
        middle = (low + high) / 2
        t = torch.tensor([middle], dtype=torch.float64)
        is_above = float(path.sigma(t)) > noise_ratio * float(path.alpha(t))
        low, high = (low, middle) if is_above else (middle, high)
    return high


def expand_dims(values: Coefficient) -> torch.Tensor:
    """[b] to [b 1 1 1 1], and [b t] to [b 1 t 1 1], to multiply latents."""
    return values.reshape(len(values), 1, -1, 1, 1)
