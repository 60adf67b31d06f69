"""The contract of a denoiser, all that samplers and objectives need: it predicts clean latents."""

from typing import Protocol, runtime_checkable

import torch
from torch import nn

from training.diffusion.conditioning import Conditioning
from training.diffusion.path import Path, expand_dims
from training.diffusion.preconditioning import Preconditioning
from training.diffusion.views import last_given
from training.tensors import Latents, Timestep


@runtime_checkable
class Denoiser(Protocol):
    """E[clean | noisy, t, conditioning]: predicts clean latents.

    The timesteps `t` are [b], or [b t] with one timestep per frame.
    """

    def __call__(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents: ...


class PreconditionedDenoiser(nn.Module):
    """A network with its preconditioning.

    Latents that `conditioning.condition_mask` marks are given. They replace the noisy latents at the input of
    the network, and the prediction returns them as they are.

    Args:
        network: Called with (latents [b c t h w], c_noise [b] or [b t], conditioning). It may have any dtype;
            the prediction is float32.
        path: The noise path.
        preconditioning: What the network sees and predicts.
        has_frame_timesteps: The network gets one timestep per frame if there are given latents: that of
            `conditioning.condition_timestep` for frames that are given, and `t` for the others.
        given_residual: Of a clip with given frames, the difference to the last one is denoised: what the
            preconditioning calls clean is clean - last, and noisy is noisy - alpha last.
    """

    def __init__(
        self,
        network: nn.Module,
        path: Path,
        preconditioning: Preconditioning,
        has_frame_timesteps: bool = False,
        given_residual: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.path, self.preconditioning = network, path, preconditioning
        self.has_frame_timesteps, self.given_residual = has_frame_timesteps, given_residual

    def forward(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        p, noisy = self.preconditioning, noisy.float()
        last = last_given(conditioning) if self.given_residual else None
        if last is not None:
            noisy = noisy - expand_dims(self.path.alpha(t)) * last
        x, c_noise = expand_dims(p.c_in(t)) * noisy, p.c_noise(t)
        mask, given = conditioning.condition_mask, conditioning.condition_latents
        if mask is not None and given is not None:
            t_given = conditioning.condition_timestep
            t_given = t.new_zeros(len(t)) if t_given is None else t_given
            x = torch.where(mask.bool(), expand_dims(p.c_in(t_given)) * given, x)
            if self.has_frame_timesteps:
                is_given = mask.amax((1, 3, 4)).bool()  # [b t]
                frames = (len(c_noise), -1)
                c_noise = torch.where(is_given, p.c_noise(t_given).view(frames), c_noise.view(frames))
        out = self.network(x, c_noise, conditioning).float()
        clean: Latents = expand_dims(p.c_skip(t)) * noisy + expand_dims(p.c_out(t)) * out
        if last is not None:
            clean = clean + last
        if mask is not None and given is not None:
            clean = torch.where(mask.bool(), given.float(), clean)
        return clean


class FrozenDenoiser:
    """A denoiser that is not trained, such as the teacher of a distillation.

    It is no module, so a model that refers to it neither stores nor trains its weights.

    Args:
        denoiser: The denoiser.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    @torch.no_grad()
    def __call__(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        return self.denoiser(noisy, t, conditioning)


class ClassifierFreeGuidance:
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
        denoiser: Denoiser,
        weak_denoiser: Denoiser,
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
