"""Samplers: turn noise into latents, for any path and any denoiser.

Along a path, x changes by clean d(alpha) + noise d(sigma). The noise is what remains of x without the clean
part.
"""

from itertools import pairwise

import torch

from training.denoiser import Conditioning, Denoiser
from training.path import Path, expand_dims
from training.tensors import Latents


def timestep_grid(num_inference_steps: int, shift: float = 1.0) -> torch.Tensor:
    """The timesteps of a sampler, [num_inference_steps + 1], from 1 (noise) to 0 (clean), float64.

    Args:
        shift: Values above 1 put more timesteps near the noise; 1 gives equal steps. Larger latents need
            more. Source: Esser et al. 2024, arXiv:2403.03206, Eq. 23.

    Raises:
        ValueError: There is no step, or `shift` is not positive.
    """
    if num_inference_steps < 1 or shift <= 0:
        raise ValueError(
            f"num_inference_steps is {num_inference_steps} and shift {shift}; at least 1, and above 0"
        )
    return shift_timesteps(torch.linspace(1, 0, num_inference_steps + 1, dtype=torch.float64), shift)


def shift_timesteps(t: torch.Tensor, shift: float) -> torch.Tensor:
    """Timesteps moved towards the noise: shift t / (1 + (shift - 1) t)."""
    return shift * t / (1 + (shift - 1) * t)


def sample_euler(
    denoiser: Denoiser[Conditioning],
    path: Path,
    noise: Latents,
    conditioning: Conditioning,
    timesteps: torch.Tensor,
) -> Latents:
    """First-order steps along `timesteps`. Source: Song et al. 2020, arXiv:2010.02502, Eq. 12 (eta 0)."""
    x = noise
    for t, t_next in pairwise(timesteps):
        x = _advance(path, x, _predict(denoiser, path, x, t, conditioning), t, t_next)
    return x


def sample_heun(
    denoiser: Denoiser[Conditioning],
    path: Path,
    noise: Latents,
    conditioning: Conditioning,
    timesteps: torch.Tensor,
) -> Latents:
    """Second-order steps along `timesteps`: two predictions per step, one in the last step.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 1, with alpha and sigma as variables.
    """
    x = noise
    for t, t_next in pairwise(timesteps):
        first = _predict(denoiser, path, x, t, conditioning)
        x_next = _advance(path, x, first, t, t_next)
        if t_next > 0:
            second = _predict(denoiser, path, x_next, t_next, conditioning)
            mean = (first[0] + second[0]) / 2, (first[1] + second[1]) / 2
            x_next = _advance(path, x, mean, t, t_next)
        x = x_next
    return x


def _predict(
    denoiser: Denoiser[Conditioning], path: Path, x: Latents, t: torch.Tensor, conditioning: Conditioning
) -> tuple[Latents, Latents]:
    """The clean part and the noise of x at timestep t."""
    clean = denoiser(x, t.to(x).expand(len(x)), conditioning)
    alpha, sigma = expand_dims(path.alpha(t[None]).to(x)), expand_dims(path.sigma(t[None]).to(x))
    return clean, (x - alpha * clean) / sigma


def _advance(
    path: Path, x: Latents, prediction: tuple[Latents, Latents], t: torch.Tensor, t_next: torch.Tensor
) -> Latents:
    """Move x from timestep t to timestep t_next."""
    clean, noise = prediction
    alpha_change = path.alpha(t_next[None]) - path.alpha(t[None])
    sigma_change = path.sigma(t_next[None]) - path.sigma(t[None])
    return x + expand_dims(alpha_change.to(x)) * clean + expand_dims(sigma_change.to(x)) * noise
