"""DDIM and DDPM: steps that may replace a part of the predicted noise by new noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.diffusion.path import Path
from training.noise import normal
from training.sampler import predict
from training.tensors import Latents


@dataclass(frozen=True)
class DDIM:
    """One prediction per step. The state at each timestep has the distribution of the path for every `eta`.

    New noise is a function of the seed, of the position of the video and of the number of the step, so it is
    the same in every batch, on every rank and on every device, up to rounding.

    Source: Song et al. 2020, arXiv:2010.02502, Eq. 12 and 16, with alpha and sigma of any path.

    Attributes:
        eta: 0 adds no noise; then it equals `sample_euler`. 1 samples the chain backwards as DDPM does
            (Ho et al. 2020, arXiv:2006.11239, Algorithm 2, with the lower of its two variances).
        clip_sample_range: Clean predictions are limited to this absolute value. A network that predicts noise
            makes large errors of the clean latents at the start. A lower value limits them more, and must
            exceed all latents. None limits nothing.

    Raises:
        ValueError: `eta` is not between 0 and 1, or `clip_sample_range` is not positive.
    """

    eta: float = 0.0
    clip_sample_range: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta is {self.eta}; between 0 and 1")
        if self.clip_sample_range is not None and self.clip_sample_range <= 0:
            raise ValueError(f"clip_sample_range is {self.clip_sample_range}; above 0, or None")

    def __call__(
        self,
        denoiser: Denoiser,
        path: Path,
        noise: Latents,
        conditioning: Conditioning,
        timesteps: torch.Tensor,
        *,
        seed: int = 0,
        positions: Sequence[int] | None = None,
    ) -> Latents:
        positions = range(len(noise)) if positions is None else positions
        alphas: list[float] = path.alpha(timesteps).tolist()
        sigmas: list[float] = path.sigma(timesteps).tolist()
        x = noise * sigmas[0]
        for step, (now, after) in enumerate(pairwise(range(len(timesteps)))):
            clean, predicted = predict(denoiser, path, x, timesteps[now], conditioning)
            if (limit := self.clip_sample_range) is not None:
                clean = clean.clamp(-limit, limit)
                predicted = (x - alphas[now] * clean) / sigmas[now]
            kept = alphas[now] * sigmas[after] / (alphas[after] * sigmas[now])  # 0 if the state is pure noise
            std = self.eta * sigmas[after] * (1 - kept**2) ** 0.5
            x = alphas[after] * clean + (sigmas[after] ** 2 - std**2) ** 0.5 * predicted
            if std > 0:
                new = normal(seed, f"sampler step {step}", positions, noise.shape[1:], device=noise.device)
                x = x + std * new.to(noise.dtype)
        return x
