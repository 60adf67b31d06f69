"""Heun's method: second-order steps along the path."""

from collections.abc import Sequence
from itertools import pairwise

import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.diffusion.path import Path
from training.sampler import predict
from training.samplers.euler import advance
from training.tensors import Latents


def sample_heun(
    denoiser: Denoiser,
    path: Path,
    noise: Latents,
    conditioning: Conditioning,
    timesteps: torch.Tensor,
    *,
    seed: int = 0,
    positions: Sequence[int] | None = None,
) -> Latents:
    """Two predictions per step, and one in the last step.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 1, with alpha and sigma as variables.
    """
    x = noise * float(path.sigma(timesteps[:1]))
    for t, t_next in pairwise(timesteps):
        first = predict(denoiser, path, x, t, conditioning)
        x_next = advance(path, x, first, t, t_next)
        if t_next > 0:
            second = predict(denoiser, path, x_next, t_next, conditioning)
            mean = (first[0] + second[0]) / 2, (first[1] + second[1]) / 2
            x_next = advance(path, x, mean, t, t_next)
        x = x_next
    return x
