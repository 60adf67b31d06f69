"""Video to patches, one per latent, and back; and the tokenizer that does no more than that.

The first frame is repeated, so that it fills a patch alone: an image is a video of one frame, and patch k
contains the frames 1 + (k - 1) s … k s, where s is the temporal stride. A linear layer follows, so no wavelet
transform is needed: the layer absorbs it.

Sources: Shi et al. 2016, arXiv:1609.05158, for space to depth; Alonso et al. 2024, arXiv:2405.12399, for a
world model in pixels.
"""

from typing import Any

import torch
from torch import Tensor

from training.tensors import Video
from training.tokenizer import Stride, check_size, count_latent_frames
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.frame_cache import FrameCache


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


class PixelTokenizer(CausalTokenizer):
    """Implements `training.tokenizer.Tokenizer` without loss: latents are the pixels of a patch, -1..1.

    The latents have 3 * patch * patch channels: those of red first, row by row. Use it where small things
    decide, such as the velocity of a ball, and frames are small: a model has no error of a codec.

    Args:
        patch: Width and height of a patch in px. A latent frame is one frame.
        digest: Identifies the tokenizer.
    """

    class_name = "pixels"

    def __init__(self, patch: int, digest: str = "") -> None:
        super().__init__(Stride(1, patch, patch), 3 * patch * patch, digest=digest)

    def config_dict(self) -> dict[str, Any]:
        """See `CausalTokenizer.config_dict`."""
        return {"patch": self.stride.height}

    def encode_chunk(self, video: Video, cache: FrameCache) -> Tensor:
        """See `CausalTokenizer.encode_chunk`."""
        return to_patches(video, self.stride, cache.is_first()).transpose(1, 2)

    def decode_chunk(self, z: Tensor, cache: FrameCache) -> Video:
        """See `CausalTokenizer.decode_chunk`."""
        return from_patches(z.transpose(1, 2), self.stride, cache.is_first())
