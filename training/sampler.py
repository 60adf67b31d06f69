"""Samplers: from noise to latents, for any path and any denoiser.

Along a path x changes by clean d(alpha) + noise d(sigma); the noise is what is left of x without the clean.
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
        x = _moved(path, x, _guesses(denoiser, path, x, t, given), t, s)
    return x


def heun(denoiser: Denoiser[Given], path: Path, noise: Latents, given: Given, grid: torch.Tensor) -> Latents:
    """Second-order steps along `grid`: two guesses per step, one in the last.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 1, with alpha and sigma for the variables.
    """
    x = noise
    for t, s in pairwise(grid):
        here = _guesses(denoiser, path, x, t, given)
        there = _moved(path, x, here, t, s)
        if s > 0:
            ahead = _guesses(denoiser, path, there, s, given)
            mean = (here[0] + ahead[0]) / 2, (here[1] + ahead[1]) / 2
            there = _moved(path, x, mean, t, s)
        x = there
    return x


def _guesses(
    denoiser: Denoiser[Given], path: Path, x: Latents, t: torch.Tensor, given: Given
) -> tuple[Latents, Latents]:
    """Of what x at level t is made: clean and noise."""
    clean = denoiser(x, t.to(x).expand(len(x)), given)
    return clean, (x - wide(path.alpha(t[None]).to(x)) * clean) / wide(path.sigma(t[None]).to(x))


def _moved(
    path: Path, x: Latents, guesses: tuple[Latents, Latents], t: torch.Tensor, s: torch.Tensor
) -> Latents:
    """From level t to level s."""
    clean, noise = guesses
    more_clean = path.alpha(s[None]) - path.alpha(t[None])
    more_noise = path.sigma(s[None]) - path.sigma(t[None])
    return x + wide(more_clean.to(x)) * clean + wide(more_noise.to(x)) * noise
