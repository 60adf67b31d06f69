"""The causal tokenizer: a linear map of patches to latents and back, plus a convolutional network for each.

All layers are 2D convolutions of single frames on the grid of the latents. Time enters where a frame is
concatenated with the two frames before it. So the latents of a frame do not depend on later frames, or on
their number.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.tensors import Latents, Video
from training.tokenizer import Stride
from training.tokenizers.patches import from_patches, to_patches


@dataclass(frozen=True)
class Architecture:
    """The shape of a causal tokenizer.

    Attributes:
        stride: Frames and pixels per latent along time, height, width.
        channels: Channels of the latents.
        width: Channels inside both networks.
        encoder_blocks: Residual blocks of the encoder.
        decoder_blocks: Residual blocks of the decoder.
    """

    stride: tuple[int, int, int] = (4, 8, 8)
    channels: int = 16
    width: int = 128
    encoder_blocks: int = 3
    decoder_blocks: int = 5


class CausalTokenizer(nn.Module):
    """Implements `training.tokenizer.Tokenizer` with continuous latents.

    `latent_mean` and `latent_std` [c] normalize the latents. They are stored with the weights.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, architecture: Architecture, digest: str = "") -> None:
        super().__init__()
        self.architecture, self.digest = architecture, digest
        self.stride, self.channels = Stride(*architecture.stride), architecture.channels
        patch_values = 3 * self.stride.time * self.stride.height * self.stride.width
        width, channels = architecture.width, self.channels
        self.encoder = LinearWithResidual(patch_values, width, architecture.encoder_blocks, channels)
        self.decoder = LinearWithResidual(channels, width, architecture.decoder_blocks, patch_values)
        self.register_buffer("latent_mean", torch.zeros(self.channels))
        self.register_buffer("latent_std", torch.ones(self.channels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it

    def encode(self, video: Video) -> Latents:
        """See `Tokenizer.encode`."""
        latents = self.encoder(to_patches(video, self.stride))  # [b t c h w]
        normalized: Tensor = (latents - _expand(self.latent_mean)) / _expand(self.latent_std)
        return normalized.transpose(1, 2)

    def decode(self, latents: Latents) -> Video:
        """See `Tokenizer.decode`."""
        unnormalized = latents.transpose(1, 2) * _expand(self.latent_std) + _expand(self.latent_mean)
        return from_patches(self.decoder(unnormalized), self.stride)

    def forward(self, video: Video) -> tuple[Video, Latents]:
        """The reconstructed video and the latents, for training."""
        latents = self.encode(video)
        return self.decode(latents), latents


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

    def forward(self, x: Tensor) -> Tensor:
        clips, frames, _, h, w = x.shape
        x = x.flatten(0, 1)
        y = self.into(x)
        for block in self.blocks:
            y = block(y, frames)
        out: Tensor = self.linear(x) + self.out(self.norm(y))
        return out.reshape(clips, frames, -1, h, w)


class Block(nn.Module):
    """Residual block: norm, 3 x 3 convolution, SiLU, then a 1 x 1 convolution with the two frames before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = FrameNorm(width)
        self.space = FrameConv(width, width, 3, padding=1)
        self.time = FrameConv(3 * width, width, 1)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x [b*t c h w]."""
        y = nn.functional.silu(self.space(self.norm(x)))
        out: Tensor = x + self.time(stack_past_frames(y, frames))
        return out


class FrameConv(nn.Conv2d):
    """A convolution of single frames [n c h w].

    In eval mode it processes frames one by one. Libraries choose the order of sums by the whole shape, so
    otherwise the bits of a frame would depend on the number of frames.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if self.training:
            return super().forward(x)
        return torch.cat([super(FrameConv, self).forward(frame) for frame in torch.split(x, 1)])


class FrameNorm(nn.Module):
    """RMS norm over the channels of a position, independent of other frames and sizes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        inverse_rms = x.float().square().mean(1, keepdim=True).add(1e-6).rsqrt()
        return x * inverse_rms.to(x.dtype) * self.scale.to(x.dtype)[:, None, None]


def stack_past_frames(x: Tensor, frames: int) -> Tensor:
    """[b*t c h w] to [b*t 3c h w]: the two frames before each frame, then the frame itself.

    Zeros precede the first frame. They let the network recognize the start of a video, where a patch contains
    one frame repeated.
    """
    x = x.reshape(-1, frames, *x.shape[1:])
    zeros = x.new_zeros(x.shape[0], 2, *x.shape[2:])
    padded = torch.cat([zeros, x], 1)
    return torch.cat([padded[:, :-2], padded[:, 1:-1], x], 2).flatten(0, 1)


def _expand(per_channel: Tensor) -> Tensor:
    return per_channel[:, None, None]
