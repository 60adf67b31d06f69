"""Samplers: from noise to latents, for any path and any denoiser.

Both follow the same exact line between two levels, on which the guess of the clean latents stands still:
x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) clean.
"""

from itertools import pairwise

import torch

from training.denoiser import Denoiser, Given
from training.path import Path, wide
from training.tensors import Latents


def times(steps: int, shift: float = 1.0) -> torch.Tensor:
    """The grid of a sampler, [steps + 1], from 1 (noise) to 0 (clean), float64.

    Args:
        shift: how much longer to stay near the noise; 1 is even steps, more suits larger latents.
            Source: Esser et al. 2024, arXiv:2403.03206, Eq. 23.
    """
    if steps < 1 or shift <= 0:
        raise ValueError(f"steps is {steps} and shift {shift}; at least 1, and above 0")
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)


def shifted(t: torch.Tensor, shift: float) -> torch.Tensor:
    """Levels moved towards the noise: shift t / (1 + (shift - 1) t)."""
    return shift * t / (1 + (shift - 1) * t)


def euler(denoiser: Denoiser[Given], path: Path, noise: Latents, given: Given, grid: torch.Tensor) -> Latents:
    """First-order steps along `grid`. Source: Song et al. 2020, arXiv:2010.02502, Eq. 12 (eta 0)."""
    x = noise
    for t, s in pairwise(grid):
        x = _move(path, x, denoiser(x, _each(t, x), given), t, s)
    return x


def heun(denoiser: Denoiser[Given], path: Path, noise: Latents, given: Given, grid: torch.Tensor) -> Latents:
    """Second-order steps along `grid`: two guesses per step, one in the last.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 1, in the variables alpha / sigma and x / sigma.
    """
    x = noise
    for t, s in pairwise(grid):
        clean = denoiser(x, _each(t, x), given)
        there = _move(path, x, clean, t, s)
        if s > 0:
            clean = (clean + denoiser(there, _each(s, x), given)) / 2
            there = _move(path, x, clean, t, s)
        x = there
    return x


def _move(path: Path, x: Latents, clean: Latents, t: torch.Tensor, s: torch.Tensor) -> Latents:
    """From level t to level s, with one guess of the clean latents."""
    kept = path.sigma(s[None]) / path.sigma(t[None])
    added = path.alpha(s[None]) - path.alpha(t[None]) * kept
    return wide(kept.to(x)) * x + wide(added.to(x)) * clean


def _each(level: torch.Tensor, x: Latents) -> torch.Tensor:
    return level.to(x).expand(len(x))
