"""The 3-D Haar wavelet packet of a video: each level splits all bands along time, height and width."""

import torch
from torch import Tensor

from training.tensors import Video


def haar_transform(video: Tensor, levels: int) -> Tensor:
    """[b t h w c] to [b t/2^n h/2^n w/2^n c*8^n], n levels.

    The first band is the mean of each block of 2^n x 2^n x 2^n values. Of the new channels, the band of time
    is outermost, then height, width, and the channel of the level before.
    """
    for _ in range(levels):
        for axis in (3, 2, 1):
            shape = (*video.shape[:axis], video.shape[axis] // 2, 2, *video.shape[axis + 1 :])
            even, odd = video.reshape(shape).unbind(axis + 1)
            video = torch.cat([even + odd, even - odd], -1)
        video = video / 8
    return video


def inverse_haar_transform(bands: Tensor, levels: int) -> Tensor:
    """The inverse of `haar_transform`."""
    for _ in range(levels):
        for axis in (1, 2, 3):
            low, high = bands.chunk(2, -1)
            bands = torch.stack([low + high, low - high], axis + 1).flatten(axis, axis + 1)
    return bands


def repeat_first_frame(video: Video, count: int) -> Video:
    """A video [b t h w c] that begins with `count` copies of its first frame in place of one."""
    return torch.cat([video[:, :1].expand(-1, count - 1, -1, -1, -1), video], 1)
