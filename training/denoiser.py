"""The contract of a denoiser, all that samplers and objectives need: it predicts clean latents."""

from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import nn

from training.path import expand_dims
from training.tensors import Latents, Timestep

Conditioning = TypeVar("Conditioning", contravariant=True)  # for example text tokens


@runtime_checkable
class Denoiser(Protocol[Conditioning]):
    """E[clean | noisy, t, conditioning]: predicts clean latents from latents at the timesteps `t` [b]."""

    def __call__(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents: ...


class VelocityDenoiser(nn.Module, Generic[Conditioning]):
    """Uses a network that predicts the velocity (noise - clean) on a rectified flow: clean = noisy - t v.

    Args:
        network: Called with (noisy, t, conditioning). It may have any dtype; the prediction is float32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        clean: Latents = noisy.float() - expand_dims(t) * self.network(noisy, t, conditioning).float()
        return clean


class ClassifierFreeGuidance(Generic[Conditioning]):
    """Extrapolates from a weaker prediction through a better one: weak + guidance_scale (better - weak).

    With the same denoiser twice, the weaker one without text, this is classifier-free guidance.
    Source: Ho & Salimans 2022, arXiv:2207.12598, Eq. 6; Karras et al. 2024, arXiv:2406.02507, Eq. 3.

    Args:
        denoiser: The better denoiser.
        weak_denoiser: The weaker denoiser.
        guidance_scale: 1 uses `denoiser` alone.
        weak_conditioning: Conditioning of the weaker denoiser; None uses that of the better one.
    """

    def __init__(
        self,
        denoiser: Denoiser[Conditioning],
        weak_denoiser: Denoiser[Conditioning],
        guidance_scale: float,
        weak_conditioning: Conditioning | None = None,
    ) -> None:
        self.denoiser, self.weak_denoiser = denoiser, weak_denoiser
        self.guidance_scale, self.weak_conditioning = guidance_scale, weak_conditioning

    def __call__(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        if self.guidance_scale == 1:
            return self.denoiser(noisy, t, conditioning)
        weak_conditioning = conditioning if self.weak_conditioning is None else self.weak_conditioning
        weak = self.weak_denoiser(noisy, t, weak_conditioning)
        return weak.lerp(self.denoiser(noisy, t, conditioning), self.guidance_scale)
