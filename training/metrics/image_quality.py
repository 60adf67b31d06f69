"""PSNR and SSIM of videos against a reference."""

import torch
from torch import Tensor

from training.tensors import Video

WINDOW, SIGMA = 11, 1.5  # side and standard deviation of SSIM's Gaussian window, in px


def psnr(video: Video, reference: Video) -> Tensor:
    """Peak signal-to-noise ratio in dB, [b], over all values of a video; values are in -1..1.

    Equal videos give infinity. `video` is clamped to -1..1, as when it is converted to images.
    """
    error = (video.clamp(-1, 1) - reference).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error)


def ssim(video: Video, reference: Video) -> Tensor:
    """Structural similarity, [b]: mean over frames, colors and all positions where the window fits.

    The window is an 11 x 11 Gaussian with a standard deviation of 1.5 px; K is 0.01 and 0.03; variances are
    those of the population. Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, Eq. 13.

    Raises:
        ValueError: The frames are smaller than the window.
    """
    if min(reference.shape[-2:]) < WINDOW:
        size = tuple(reference.shape[-2:])
        raise ValueError(f"frames of {size} px are smaller than SSIM's window of {WINDOW} px")
    x, y = (_to_images(v) for v in (video, reference))
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return similarity.reshape(len(reference), -1).mean(1)


def _to_images(video: Video) -> Tensor:
    """[b*t*3 1 h w] in 0..1."""
    return ((video.clamp(-1, 1) + 1) / 2).transpose(1, 2).flatten(0, 2)[:, None]


def _blur(x: Tensor) -> Tensor:
    """Weighted means of [n 1 h w] at all positions where the window fits."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    kernel = torch.softmax(-(offsets**2) / (2 * SIGMA**2), 0).tolist()
    for axis in (-1, -2):  # sums of shifted images, several times as fast as a convolution of one channel
        size = x.shape[axis] - WINDOW + 1
        total = x.narrow(axis, 0, size) * kernel[0]
        for offset, weight in enumerate(kernel[1:], 1):
            total = total.add_(x.narrow(axis, offset, size), alpha=weight)
        x = total
    return x
