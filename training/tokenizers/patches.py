"""Video to patches, one per latent, and back.

The first frame is repeated, so that it fills a patch alone: an image is a video of one frame, and patch k
contains the frames 1 + (k - 1) s … k s, where s is the temporal stride. A linear layer follows, so no wavelet
transform is needed: the layer absorbs it.
"""

import torch
from torch import Tensor

from training.tensors import Video
from training.tokenizer import Stride, check_size, count_latent_frames


def to_patches(video: Video, stride: Stride, is_first: bool = True) -> Tensor:
    """[b 3 t h w] to [b t' p h' w'], p = 3 * time * height * width values, in that order.

    Args:
        video: 1 + k * stride.time frames, or k * stride.time frames that follow others.
        stride: Frames and pixels per patch.
        is_first: Whether the video begins here.

    Raises:
        ValueError: Frames, height or width do not fit the stride.
    """
    check_size(video, stride)
    b, _, t, h, w = video.shape
    frames = count_latent_frames(t, stride.time) if is_first else t // stride.time
    before = video[:, :, :1].expand(-1, -1, stride.time - 1 if is_first else 0, -1, -1)
    padded = torch.cat([before, video], 2)
    blocks = padded.reshape(
        b, 3, frames, stride.time, h // stride.height, stride.height, w // stride.width, stride.width
    )
    return blocks.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).movedim(-1, 2)


def from_patches(patches: Tensor, stride: Stride, is_first: bool = True) -> Video:
    """[b t' p h' w'] to [b 3 t h w]; of the first patch of a video only the last frame is kept."""
    b, t, _, h, w = patches.shape
    blocks = patches.reshape(b, t, 3, *stride, h, w).permute(0, 2, 1, 3, 6, 4, 7, 5)
    video = blocks.reshape(b, 3, t * stride.time, h * stride.height, w * stride.width)
    return video[:, :, stride.time - 1 :] if is_first else video
