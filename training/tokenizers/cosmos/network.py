"""Encoder and decoder of the Cosmos tokenizers."""

import math
from itertools import pairwise

from torch import Tensor, nn

from training.tokenizers.cosmos.config import CosmosTokenizerConfig
from training.tokenizers.cosmos.layers import (
    Attention,
    ConvProjection,
    Downsample,
    FrameNorm,
    ResnetBlock,
    Upsample,
)
from training.tokenizers.cosmos.wavelet import haar_transform, inverse_haar_transform, repeat_first_frame
from training.tokenizers.frame_cache import FrameCache


class Encoder(nn.Module):
    """A video [b t h w 3] to features [b t' h' w' z]."""

    def __init__(self, config: CosmosTokenizerConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        channels = config.encoder_block_out_channels
        self.conv_in = ConvProjection(3 * config.patch_size**3, channels[0])
        self.down_blocks = nn.ModuleList()
        for number, (channels_in, channels_out) in enumerate(pairwise(channels)):
            block = Block(channels_in, channels_out, config.num_layers)
            resampling = config.encoder_resampling(number)
            if any(resampling):
                block.downsamplers = nn.ModuleList([Downsample(channels_out, *resampling)])
            self.down_blocks.append(block)
        self.mid_block = MidBlock(channels[-1], config.temporal_attention_window)
        self.norm_out = FrameNorm(channels[-1])
        self.conv_out = ConvProjection(channels[-1], config.z_channels or config.latent_channels)

    def forward(self, video: Tensor, cache: FrameCache) -> Tensor:
        if cache.is_first():
            video = repeat_first_frame(video, self.patch_size)
        x = haar_transform(video, int(math.log2(self.patch_size)))
        x = self.conv_in(x, cache)
        for block in self.down_blocks:
            x = block(x, cache)
        x = self.mid_block(x, cache)
        out: Tensor = self.conv_out(nn.functional.silu(self.norm_out(x)), cache)
        return out


class Decoder(nn.Module):
    """Features [b t' h' w' z] to a video [b t h w 3]."""

    def __init__(self, config: CosmosTokenizerConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        channels = config.decode_block_out_channels[::-1]
        self.conv_in = ConvProjection(config.z_channels or config.latent_channels, channels[0])
        self.mid_block = MidBlock(channels[0], config.temporal_attention_window)
        self.up_blocks = nn.ModuleList()
        for number, (channels_in, channels_out) in enumerate(pairwise(channels)):
            block = Block(channels_in, channels_out, config.num_layers + 1)
            resampling = config.decoder_resampling(number)
            if any(resampling):
                block.upsamplers = nn.ModuleList([Upsample(channels_out, *resampling)])
            self.up_blocks.append(block)
        self.norm_out = FrameNorm(channels[-1])
        self.conv_out = ConvProjection(channels[-1], 3 * config.patch_size**3)

    def forward(self, z: Tensor, cache: FrameCache) -> Tensor:
        x = self.mid_block(self.conv_in(z, cache), cache)
        for block in self.up_blocks:
            x = block(x, cache)
        x = self.conv_out(nn.functional.silu(self.norm_out(x)), cache)
        video = inverse_haar_transform(x, int(math.log2(self.patch_size)))
        return video[:, self.patch_size - 1 :] if cache.is_first() else video


class Block(nn.Module):
    """Residual blocks, then a change of resolution."""

    def __init__(self, channels_in: int, channels_out: int, layers: int) -> None:
        super().__init__()
        self.downsamplers: nn.ModuleList | None = None
        self.upsamplers: nn.ModuleList | None = None
        self.resnets = nn.ModuleList(
            ResnetBlock(channels_out if layer else channels_in, channels_out) for layer in range(layers)
        )

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        for layer in (*self.resnets, *(self.downsamplers or ()), *(self.upsamplers or ())):
            x = layer(x, cache)
        return x


class MidBlock(nn.Module):
    """A residual block, attention over space and over time, and another residual block."""

    def __init__(self, channels: int, window: int | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels, is_temporal=False)])
        self.temp_attentions = nn.ModuleList([Attention(channels, is_temporal=True, window=window)])

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        for layer in (self.resnets[0], self.attentions[0], self.temp_attentions[0], self.resnets[1]):
            x = layer(x, cache)
        return x
