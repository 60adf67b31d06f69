"""Denoising: guess the clean latents from noisy ones, at random levels of noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from training.denoiser import Denoiser
from training.noise import normal, uniform
from training.objective import Loss
from training.path import Path, mix
from training.sampler import shifted
from training.tensors import Latents, Level

Given = TypeVar("Given")
CLEANEST = 1e-3  # no level lies below: the velocity is the guess's error over t


class Clips(Protocol):
    """A batch: for each clip its id, latents [b c t h w] and caption."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def latents(self) -> Latents: ...
    @property
    def captions(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class TimestepSampler:
    """Levels whose logit is normal, then shifted towards the noise.

    Source: Esser et al. 2024, arXiv:2403.03206, Eq. 19 and 23.
    """

    mean: float = 0.0
    deviation: float = 1.0
    shift: float = 1.0

    def __call__(self, normals: Level) -> Level:
        """Standard normal numbers [b] to levels [b]."""
        return shifted(torch.sigmoid(self.mean + self.deviation * normals), self.shift).clamp(min=CLEANEST)


@dataclass(frozen=True)
class Denoising(Generic[Given]):
    """Mean squared error of the velocity noise - clean, which is that of the clean guess over t squared.

    The parts of its loss: "error", of the clean guess (1 would be guessing nothing).

    Attributes:
        denoiser: what is trained.
        path: must be the one that the denoiser assumes.
        read: captions to what the denoiser is given, on the latents' device.
        times: how levels are drawn.
        text_dropout: share of clips whose caption is hidden ("" instead), for guidance.
        seed: of all that is random here.
    """

    denoiser: Denoiser[Given]
    path: Path
    read: Callable[[Sequence[str], torch.device], Given]
    times: TimestepSampler = TimestepSampler()
    text_dropout: float = 0.1
    seed: int = 0

    def __call__(self, batch: Clips, step: int) -> Loss:
        clean = batch.latents
        t, noise = self._drawn(batch, step)
        guess = self.denoiser(mix(self.path, clean, noise, t), t, self._told(batch, step, clean.device))
        error = (guess - clean).square().flatten(1).mean(1)  # [b]
        return Loss((error / t.square()).mean(), {"error": error.mean().detach()})

    def _drawn(self, batch: Clips, step: int) -> tuple[Level, Latents]:
        """A level and noise per clip."""
        clean = batch.latents
        normals = torch.stack([normal(self.seed, clip, step, (), "level") for clip in batch.ids])
        noise = torch.stack([normal(self.seed, clip, step, clean.shape[1:]) for clip in batch.ids])
        return self.times(normals).to(clean.device), noise.to(clean.device)

    def _told(self, batch: Clips, step: int, device: torch.device) -> Given:
        hidden = [
            float(uniform(self.seed, clip, step, (), "untold")) < self.text_dropout for clip in batch.ids
        ]
        captions = ["" if hide else caption for hide, caption in zip(hidden, batch.captions, strict=True)]
        return self.read(captions, device)
