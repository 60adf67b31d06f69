"""Euler's method: first-order steps along the path.

Along a path, x changes by clean d(alpha) + noise d(sigma).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.diffusion.path import Path, expand_dims
from training.sampler import predict
from training.tensors import Latents


def sample_euler(
    denoiser: Denoiser,
    path: Path,
    noise: Latents,
    conditioning: Conditioning,
    timesteps: torch.Tensor,
    *,
    seed: int = 0,
    positions: Sequence[int] | None = None,
) -> Latents:
    """One prediction per step. On `RectifiedFlow` and `EDM` these are Euler's steps in t and in sigma.

    Source: Song et al. 2020, arXiv:2010.02502, Eq. 12 (eta 0).
    """
    x = noise * float(path.sigma(timesteps[:1]))
    for t, t_next in pairwise(timesteps):
        x = advance(path, x, predict(denoiser, path, x, t, conditioning), t, t_next)
    return x


def advance(
    path: Path, x: Latents, prediction: tuple[Latents, Latents], t: torch.Tensor, t_next: torch.Tensor
) -> Latents:
    """Move x from timestep t to timestep t_next."""
    clean, noise = prediction
    alpha_change = path.alpha(t_next[None]) - path.alpha(t[None])
    sigma_change = path.sigma(t_next[None]) - path.sigma(t[None])
    return x + expand_dims(alpha_change.to(x)) * clean + expand_dims(sigma_change.to(x)) * noise
