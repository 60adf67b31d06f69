"""Timestep samplers: the distribution of the timesteps of training.

A sampler maps uniform numbers to timesteps by the inverse of the distribution function. So the caller owns
the random numbers, and can draw them with low discrepancy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from training.tensors import Timestep


@runtime_checkable
class TimestepSampler(Protocol):
    """Maps uniform numbers in (0, 1), float64 [b] or [b t], to timesteps of the same shape."""

    def __call__(self, uniform: torch.Tensor, latent_shape: Sequence[int]) -> Timestep:
        """`latent_shape` is the shape [c t h w] of each clip."""
        ...


@dataclass(frozen=True)
class LogitNormal:
    """Timesteps 0..1 whose logit is normal, shifted towards noise, for `RectifiedFlow`.

    Source: Esser et al. 2024, arXiv:2403.03206, Eq. 19 and 23. Cosmos-Predict2.5 uses `shift` 5, and for its
    14B model `high_noise_share` 0.05.

    Attributes:
        mean: Mean of the logit.
        std: Standard deviation of the logit.
        shift: Values above 1 move timesteps towards noise; 1 is no shift. Larger latents need more.
        high_noise_share: Share of timesteps that are drawn uniformly from 0.98 to 1 instead.
        t_min: Lower timesteps become this one.
    """

    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0
    high_noise_share: float = 0.0
    t_min: float = 1e-3

    def __call__(self, uniform: torch.Tensor, latent_shape: Sequence[int]) -> Timestep:
        is_high, high, rest = split_uniform(uniform, self.high_noise_share)
        t = shift_timesteps(torch.sigmoid(self.mean + self.std * torch.special.ndtri(rest)), self.shift)
        return torch.where(is_high, 0.98 + 0.02 * high, t).clamp(min=self.t_min).float()


@dataclass(frozen=True)
class LogNormal:
    """Timesteps whose logarithm is normal, for the path `EDM`, where they are sigmas.

    Source: Karras et al. 2022, arXiv:2206.00364, Table 1. The defaults are those of Cosmos-Predict1, which
    multiplies sigma by the square root of the number of latent frames of a video.

    Attributes:
        mean: Mean of ln(sigma), P_mean of the source.
        std: Standard deviation of ln(sigma), P_std of the source.
        scale_by_frames: Multiply sigma by the square root of the number of latent frames.
        t_min: Lower sigmas become this one.
        t_max: Higher sigmas become this one.
    """

    mean: float = 0.0
    std: float = 1.0
    scale_by_frames: bool = True
    t_min: float = 0.0002
    t_max: float = 80.0

    def __call__(self, uniform: torch.Tensor, latent_shape: Sequence[int]) -> Timestep:
        sigma = torch.exp(self.mean + self.std * torch.special.ndtri(uniform))
        if self.scale_by_frames:
            sigma = sigma * latent_shape[1] ** 0.5
        return sigma.clamp(self.t_min, self.t_max).float()


@dataclass(frozen=True)
class Uniform:
    """Equal probability from `t_min` to `t_max`; with `num_timesteps`, only its multiples of `t_max`.

    DDPM draws its timesteps 1/1000, 2/1000, … 1 in this way.
    """

    t_min: float = 0.0
    t_max: float = 1.0
    num_timesteps: int = 0

    def __call__(self, uniform: torch.Tensor, latent_shape: Sequence[int]) -> Timestep:
        if self.num_timesteps:
            step = (uniform * self.num_timesteps).floor().clamp(max=self.num_timesteps - 1)
            return (self.t_max * (step + 1) / self.num_timesteps).float()
        return (self.t_min + uniform * (self.t_max - self.t_min)).float()


@dataclass(frozen=True)
class Choice:
    """One of a few timesteps, each with the same probability."""

    timesteps: tuple[float, ...]

    def __call__(self, uniform: torch.Tensor, latent_shape: Sequence[int]) -> Timestep:
        number = (uniform * len(self.timesteps)).long().clamp(max=len(self.timesteps) - 1)
        return torch.tensor(self.timesteps, dtype=torch.float64)[number].float()


def split_uniform(uniform: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split uniform numbers into a choice of probability `share` and a uniform number of either branch.

    Returns:
        (is_chosen, uniform number if chosen, uniform number if not).
    """
    is_chosen = uniform < share
    chosen = (uniform / share if share else uniform).clamp(max=1.0)
    rest = ((uniform - share) / (1 - share) if share < 1 else uniform).clamp(1e-12, 1 - 1e-12)
    return is_chosen, chosen, rest


def shift_timesteps(t: torch.Tensor, shift: float) -> torch.Tensor:
    """Timesteps 0..1 moved towards the noise: shift t / (1 + (shift - 1) t).

    Source: Esser et al. 2024, arXiv:2403.03206, Eq. 23.
    """
    return shift * t / (1 + (shift - 1) * t)
