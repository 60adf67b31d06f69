"""The promise of a denoiser: its best guess of the clean latents. Samplers and objectives ask no more."""

from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import nn

from training.path import wide
from training.tensors import Latents, Level

Given = TypeVar("Given", contravariant=True)  # what the guess is conditioned on


@runtime_checkable
class Denoiser(Protocol[Given]):
    """E[clean | noisy, t, given]: latents at noise level `t` [b] to latents without noise."""

    def __call__(self, noisy: Latents, t: Level, given: Given) -> Latents: ...


class VelocityDenoiser(nn.Module, Generic[Given]):
    """A network that predicts noise - clean, read as a denoiser on a rectified flow: clean = noisy - t v.

    Args:
        network: called with (noisy, t, given); its dtype may be any, the guess is float32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Latents, t: Level, given: Given) -> Latents:
        clean: Latents = noisy.float() - wide(t) * self.network(noisy, t, given).float()
        return clean


class ClassifierFreeGuidance(Generic[Given]):
    """Leans from a weaker guess through a better one: weak + scale (good - weak).

    With the same denoiser told nothing as the weak one this is classifier-free guidance.
    Source: Ho & Salimans 2022, arXiv:2207.12598, Eq. 6; Karras et al. 2024, arXiv:2406.02507, Eq. 3.

    Args:
        good, weak: the two guesses.
        scale: 1 is `good` alone.
        weak_given: what the weak one is told instead; the same as the good one if None.
    """

    def __init__(
        self, good: Denoiser[Given], weak: Denoiser[Given], scale: float, weak_given: Given | None = None
    ) -> None:
        self.good, self.weak, self.scale, self.weak_given = good, weak, scale, weak_given

    def __call__(self, noisy: Latents, t: Level, given: Given) -> Latents:
        if self.scale == 1:
            return self.good(noisy, t, given)
        weak = self.weak(noisy, t, given if self.weak_given is None else self.weak_given)
        return weak.lerp(self.good(noisy, t, given), self.scale)
