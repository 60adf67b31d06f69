"""The denoising objective: predict the clean latents from noisy ones, at random timesteps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from training.denoiser import Denoiser
from training.noise import normal, uniform
from training.objective import Loss
from training.path import Path, add_noise
from training.sampler import shift_timesteps
from training.tensors import Latents, Timestep

Conditioning = TypeVar("Conditioning")
MIN_TIMESTEP = 1e-3  # the velocity is the error of the clean prediction divided by t, so t must not be 0


class LatentBatch(Protocol):
    """A batch: id, latents [b c t h w] and caption of each clip."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def latents(self) -> Latents: ...
    @property
    def captions(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class TimestepSampler:
    """Maps standard normal numbers to timesteps: the logit is normal, then timesteps shift towards noise.

    Source: Esser et al. 2024, arXiv:2403.03206, Eq. 19 and 23.

    Attributes:
        mean: Mean of the logit.
        std: Standard deviation of the logit.
        shift: 1 is no shift; larger latents need more.
    """

    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0

    def __call__(self, normals: Timestep) -> Timestep:
        """Standard normal numbers [b] to timesteps [b]."""
        t = shift_timesteps(torch.sigmoid(self.mean + self.std * normals), self.shift)
        return t.clamp(min=MIN_TIMESTEP)


@dataclass(frozen=True)
class Denoising(Generic[Conditioning]):
    """Mean squared error of the velocity (noise - clean).

    It equals the mean squared error of the clean prediction divided by t squared. `Loss.parts` has
    "clean_mse", the mean squared error of the clean prediction (1 for a prediction of zeros).

    Attributes:
        denoiser: The model that is trained.
        path: The noise path. It must be the one that the denoiser assumes.
        encode_text: Turns captions into the conditioning of the denoiser, on the device of the latents.
        timestep_sampler: Distribution of the timesteps.
        text_dropout: Share of clips whose caption is replaced by "", for classifier-free guidance.
        seed: Seed of timesteps, noise and text dropout.
    """

    denoiser: Denoiser[Conditioning]
    path: Path
    encode_text: Callable[[Sequence[str], torch.device], Conditioning]
    timestep_sampler: TimestepSampler = TimestepSampler()
    text_dropout: float = 0.1
    seed: int = 0

    def __call__(self, batch: LatentBatch, step: int) -> Loss:
        clean = batch.latents
        t, noise = self._draw(batch, step)
        conditioning = self._conditioning(batch, step, clean.device)
        prediction = self.denoiser(add_noise(self.path, clean, noise, t), t, conditioning)
        error = (prediction - clean).square().flatten(1).mean(1)  # [b]
        return Loss((error / t.square()).mean(), {"clean_mse": error.mean().detach()})

    def _draw(self, batch: LatentBatch, step: int) -> tuple[Timestep, Latents]:
        """A timestep and noise for each clip."""
        clean = batch.latents
        normals = torch.stack([normal(self.seed, clip, step, (), "level") for clip in batch.ids])
        noise = torch.stack([normal(self.seed, clip, step, clean.shape[1:]) for clip in batch.ids])
        return self.timestep_sampler(normals).to(clean.device), noise.to(clean.device)

    def _conditioning(self, batch: LatentBatch, step: int, device: torch.device) -> Conditioning:
        # "untold" names the random stream; another name would change trained weights.
        numbers = [float(uniform(self.seed, clip, step, (), "untold")) for clip in batch.ids]
        captions = [
            "" if number < self.text_dropout else caption
            for number, caption in zip(numbers, batch.captions, strict=True)
        ]
        return self.encode_text(captions, device)
