"""A small tokenizer for a CPU: a linear map of patches to latents and back, plus a network for each.

All layers are 2D convolutions of single frames on the grid of the latents. Time enters where a frame is
concatenated with the two frames before it. So the latents of a frame do not depend on later frames, or on
their number.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.tensors import Video
from training.tokenizer import Stride
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.frame_cache import FrameCache
from training.tokenizers.patches import from_patches, to_patches


@dataclass(frozen=True)
class PatchTokenizerConfig:
    """The shape of a patch tokenizer.

    Attributes:
        stride: Frames and pixels per latent along time, height, width.
        channels: Channels of the latents.
        width: Channels inside both networks.
        encoder_blocks: Residual blocks of the encoder.
        decoder_blocks: Residual blocks of the decoder.
        levels: Levels of finite scalar quantization (FSQ), one per channel; empty if latents are continuous.
    """

    stride: tuple[int, int, int] = (4, 8, 8)
    channels: int = 16
    width: int = 128
    encoder_blocks: int = 3
    decoder_blocks: int = 5
    levels: tuple[int, ...] = ()


class PatchTokenizer(CausalTokenizer):
    """Implements `training.tokenizer.Tokenizer`, and `DiscreteTokenizer` if the config has levels."""

    class_name = "patch"

    def __init__(self, config: PatchTokenizerConfig, digest: str = "") -> None:
        super().__init__(Stride(*config.stride), config.channels, config.levels, digest)
        self.config = config
        patch_values = 3 * self.stride.time * self.stride.height * self.stride.width
        width, channels = config.width, self.channels
        self.encoder = LinearWithResidual(patch_values, width, config.encoder_blocks, channels)
        self.decoder = LinearWithResidual(channels, width, config.decoder_blocks, patch_values)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it

    def config_dict(self) -> dict[str, Any]:
        """See `CausalTokenizer.config_dict`."""
        return asdict(self.config)

    def encode_chunk(self, video: Video, cache: FrameCache) -> Tensor:
        """See `CausalTokenizer.encode_chunk`."""
        out: Tensor = self.encoder(to_patches(video, self.stride, cache.is_first()), cache)
        return out.transpose(1, 2)

    def decode_chunk(self, z: Tensor, cache: FrameCache) -> Video:
        """See `CausalTokenizer.decode_chunk`."""
        return from_patches(self.decoder(z.transpose(1, 2), cache), self.stride, cache.is_first())


class LinearWithResidual(nn.Module):
    """A linear map of each position, plus the output of a causal network.

    [b t c_in h w] to [b t c_out h w].
    """

    def __init__(self, channels_in: int, width: int, blocks: int, channels_out: int) -> None:
        super().__init__()
        self.linear = FrameConv(channels_in, channels_out, 1)
        self.into = FrameConv(channels_in, width, 1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = FrameNorm(width)
        self.out = FrameConv(width, channels_out, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        clips, frames, _, h, w = x.shape
        x = x.flatten(0, 1)
        y = self.into(x)
        for block in self.blocks:
            y = block(y, frames, cache)
        out: Tensor = self.linear(x) + self.out(self.norm(y))
        return out.reshape(clips, frames, -1, h, w)


class Block(nn.Module):
    """Residual block: norm, 3 x 3 convolution, SiLU, then a 1 x 1 convolution with the two frames before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = FrameNorm(width)
        self.space = FrameConv(width, width, 3, padding=1)
        self.time = FrameConv(3 * width, width, 1)

    def forward(self, x: Tensor, frames: int, cache: FrameCache) -> Tensor:
        """x [b*t c h w]."""
        y = nn.functional.silu(self.space(self.norm(x)))
        out: Tensor = x + self.time(_stack_past_frames(y, frames, cache))
        return out


class FrameConv(nn.Conv2d):
    """A convolution of single frames [n c h w]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.contiguous(memory_format=torch.channels_last))


class FrameNorm(nn.Module):
    """RMS norm over the channels of a position, independent of other frames and sizes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        inverse_rms = x.float().square().mean(1, keepdim=True).add(1e-6).rsqrt()
        return x * inverse_rms.to(x.dtype) * self.scale.to(x.dtype)[:, None, None]


def _stack_past_frames(x: Tensor, frames: int, cache: FrameCache) -> Tensor:
    """[b*t c h w] to [b*t 3c h w]: the two frames before each frame, then the frame itself.

    Zeros precede the first frame. They let the network recognize the start of a video, where a patch contains
    one frame repeated.
    """
    padded = cache.with_past(x.reshape(-1, frames, *x.shape[1:]), 2, pad_zeros=True)
    return torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], 2).flatten(0, 1)
