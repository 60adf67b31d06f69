"""Denoises clips of any length in windows of the length that a network was trained on.

The windows are blended at each step of the sampler, so that they agree on the latents that they share.
"""

from dataclasses import replace

import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.errors import SettingError
from training.tensors import Latents, Timestep


class WindowedDenoiser:
    """Predicts the clean latents of a clip in windows along time, and blends the predictions.

    A clip that fits into one window is denoised as it is.

    Args:
        denoiser: Called with each window.
        window: Latent frames of a window.
        overlap: Latent frames that a window shares with the one before it; the last one may share more.

    Raises:
        SettingError: The overlap is not smaller than the window.
    """

    def __init__(self, denoiser: Denoiser, window: int, overlap: int) -> None:
        if overlap >= window:
            raise SettingError(
                f"windows of {window} latent frames cannot overlap by {overlap}",
                remedy=f"choose an overlap of at most {window - 1}",
            )
        self.denoiser, self.window, self.overlap = denoiser, window, overlap

    def __call__(self, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        spans = window_spans(noisy.shape[2], self.window, self.overlap)
        if len(spans) == 1:
            return self.denoiser(noisy, t, conditioning)
        weights = blend_weights(spans).to(noisy.device)
        clean = torch.zeros_like(noisy, dtype=torch.float32)
        for (start, stop), weight in zip(spans, weights, strict=True):
            known = conditioning
            if conditioning.codes is not None:
                known = replace(conditioning, codes=conditioning.codes[:, start:stop])
            if known.code_latents is not None:
                known = replace(known, code_latents=known.code_latents[:, :, start:stop])
            part = self.denoiser(noisy[:, :, start:stop], t, known)
            clean[:, :, start:stop] += weight[start:stop, None, None] * part
        return clean


def window_spans(frames: int, window: int, overlap: int) -> list[tuple[int, int]]:
    """The first frame of each window, and the frame after its last. They are equally long."""
    if frames <= window:
        return [(0, frames)]
    starts = [*range(0, frames - window, window - overlap), frames - window]
    return [(start, start + window) for start in starts]


def blend_weights(spans: list[tuple[int, int]]) -> torch.Tensor:
    """The weight of each window at each frame of the clip, [windows frames]. They sum to 1 at each frame.

    The weight of a window rises linearly from 0 over the frames that it shares with the windows before it. It
    is 0 at its first frame, because the first latent frame of the clips of a training has one video frame.
    """
    weights = torch.zeros(len(spans), spans[-1][1])
    covered = 0
    for number, (start, stop) in enumerate(spans):
        shared = covered - start
        ramp = torch.ones(stop - start)
        ramp[:shared] = torch.arange(shared) / max(shared, 1)
        weights[:, start:stop] *= 1 - ramp
        weights[number, start:stop] = ramp
        covered = stop
    return weights
