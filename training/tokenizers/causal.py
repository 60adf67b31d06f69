"""The causal tokenizer: a linear map of patches to latents and back, and a convolutional network beside each.

All of it is done by 2D convolutions over single frames of the latents' grid; time enters where a frame is
joined with the two before it. So no frame's latents depend on a later one, nor on how many there are.
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
        stride: pixels per latent along time, height, width.
        channels: of the latents.
        width: channels inside both networks.
        encoder_blocks, decoder_blocks: residual blocks in each.
    """

    stride: tuple[int, int, int] = (4, 8, 8)
    channels: int = 16
    width: int = 128
    encoder_blocks: int = 3
    decoder_blocks: int = 5


class CausalTokenizer(nn.Module):
    """Keeps the promise of `training.tokenizer.Tokenizer`, for continuous latents.

    `latent_mean` and `latent_std` [c] shift and scale the raw latents; they belong to the weights.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, architecture: Architecture, digest: str = "") -> None:
        super().__init__()
        self.architecture, self.digest = architecture, digest
        self.stride, self.channels = Stride(*architecture.stride), architecture.channels
        values, width = 3 * self.stride.time * self.stride.height * self.stride.width, architecture.width
        self.encoder = Beside(values, width, architecture.encoder_blocks, self.channels)
        self.decoder = Beside(self.channels, width, architecture.decoder_blocks, values)
        self.register_buffer("latent_mean", torch.zeros(self.channels))
        self.register_buffer("latent_std", torch.ones(self.channels))
        self.to(memory_format=torch.channels_last)

    def encode(self, video: Video) -> Latents:
        """See `Tokenizer.encode`."""
        raw = self.encoder(to_patches(video, self.stride))  # [b t c h w]
        return ((raw - _wide(self.latent_mean)) / _wide(self.latent_std)).transpose(1, 2)

    def decode(self, latents: Latents) -> Video:
        """See `Tokenizer.decode`."""
        raw = latents.transpose(1, 2) * _wide(self.latent_std) + _wide(self.latent_mean)
        return from_patches(self.decoder(raw), self.stride)

    def forward(self, video: Video) -> tuple[Video, Latents]:
        """What comes back, and the latents between; for training."""
        latents = self.encode(video)
        return self.decode(latents), latents


class Beside(nn.Module):
    """A linear map of each position, plus what a causal network adds: [b t c_in h w] to [b t c_out h w]."""

    def __init__(self, channels_in: int, width: int, blocks: int, channels_out: int) -> None:
        super().__init__()
        self.linear = FrameConv(channels_in, channels_out, 1)
        self.into = FrameConv(channels_in, width, 1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = FrameNorm(width)
        self.out = FrameConv(width, channels_out, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        clips, frames = x.shape[:2]
        x = x.flatten(0, 1)
        y = self.into(x)
        for block in self.blocks:
            y = block(y, frames)
        y = self.linear(x) + self.out(self.norm(y))
        return y.unflatten(0, (clips, frames))


class Block(nn.Module):
    """Residual: norm, 3 x 3 over the frame, SiLU, then the frame with the two before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = FrameNorm(width)
        self.space = FrameConv(width, width, 3, padding=1)
        self.time = FrameConv(3 * width, width, 1)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x [b*t c h w]."""
        y = nn.functional.silu(self.space(self.norm(x)))
        return x + self.time(with_past(y, frames))


class FrameConv(nn.Conv2d):
    """A convolution of single frames [n c h w].

    In use, not in training, frames go one by one: libraries choose their order of sums by the whole shape, so
    a frame would not keep its bits whatever lies beside it.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if self.training:
            return super().forward(x)
        return torch.cat([super(FrameConv, self).forward(frame) for frame in x.split(1)])


class FrameNorm(nn.Module):
    """Root mean square over the channels of a position; knows nothing of other frames or sizes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        size = x.float().square().mean(1, keepdim=True).add(1e-6).rsqrt()
        return x * size.to(x.dtype) * self.scale.to(x.dtype)[:, None, None]


def with_past(x: Tensor, frames: int) -> Tensor:
    """[b*t c h w] to [b*t 3c h w]: each frame behind the two before it; zeros stand before the first.

    The zeros tell the network where a video starts, which is where a patch holds one frame repeated.
    """
    x = x.unflatten(0, (-1, frames))
    before = x.new_zeros(x.shape[0], 2, *x.shape[2:])
    padded = torch.cat([before, x], 1)
    return torch.cat([padded[:, :-2], padded[:, 1:-1], x], 2).flatten(0, 1)


def _wide(per_channel: Tensor) -> Tensor:
    return per_channel[:, None, None]
