"""PSNR and SSIM: how near pictures are to those that they should be."""

import torch
from torch import Tensor

from training.tensors import Video

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian


def psnr(guess: Video, truth: Video) -> Tensor:
    """Peak signal to noise ratio in dB, [b]: over all values of a video; values lie in -1..1.

    Equal videos give infinity. The guess is clamped to -1..1, as it is when it becomes a picture.
    """
    error = (guess.clamp(-1, 1) - truth).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error)


def ssim(guess: Video, truth: Video) -> Tensor:
    """Structural similarity, [b]: mean over frames, colours and all places where the window fits.

    An 11 x 11 Gaussian window of deviation 1.5 px, K 0.01 and 0.03, population variances.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, Eq. 13.

    Raises:
        ValueError: the pictures are smaller than the window.
    """
    if min(truth.shape[-2:]) < WINDOW:
        raise ValueError(f"pictures of {tuple(truth.shape[-2:])} are smaller than SSIM's window of {WINDOW}")
    x, y = (_pictures(v) for v in (guess, truth))
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    shared = _blurred(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    like = (2 * mean_x * mean_y + c1) * (2 * shared + c2)
    like = like / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return like.reshape(len(truth), -1).mean(1)


def _pictures(video: Video) -> Tensor:
    """[b*t*3 1 h w] in 0..1."""
    return ((video.clamp(-1, 1) + 1) / 2).transpose(1, 2).flatten(0, 2)[:, None]


def _blurred(x: Tensor) -> Tensor:
    """[n 1 h w] under the window, without borders."""
    at = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    kernel = torch.softmax(-(at**2) / (2 * SIGMA**2), 0)
    x = torch.nn.functional.conv2d(x, kernel.reshape(1, 1, -1, 1))
    return torch.nn.functional.conv2d(x, kernel.reshape(1, 1, 1, -1))
