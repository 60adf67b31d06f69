"""The shape of a Cosmos tokenizer, and the published shapes by name."""

import math
from dataclasses import dataclass

from training.tokenizer import Stride


@dataclass(frozen=True)
class CosmosTokenizerConfig:
    """The shape of a Cosmos tokenizer. The names are those of diffusers' AutoencoderKLCosmos, if it has them.

    Attributes:
        latent_channels: Channels of the latents. A discrete tokenizer has one per entry of `levels`.
        encoder_block_out_channels: Channels of the encoder: after its first layer, then of each block.
        decode_block_out_channels: Channels of the decoder: of each block in reverse, as the encoder has them.
        num_layers: Residual blocks of a block of the encoder. The decoder has one more.
        patch_size: Frames and pixels per side of the wavelet transform, a power of two.
        spatial_compression_ratio: Pixels per latent along height and width, a multiple of `patch_size`.
        temporal_compression_ratio: Frames per latent, a multiple of `patch_size`.
        levels: Levels of finite scalar quantization (FSQ), one per channel; empty if latents are continuous.
        z_channels: Channels before quantization. None: `latent_channels`.
        temporal_attention_window: Latent frames that temporal attention sees: a frame and those before it.
            None: all. With a window, the memory of a stream does not grow. Videos of no more latent
            frames than the window have the same latents with and without it.
    """

    latent_channels: int = 16
    encoder_block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    decode_block_out_channels: tuple[int, ...] = (256, 512, 512, 512)
    num_layers: int = 2
    patch_size: int = 4
    spatial_compression_ratio: int = 8
    temporal_compression_ratio: int = 8
    levels: tuple[int, ...] = ()
    z_channels: int | None = None
    temporal_attention_window: int | None = None

    def __post_init__(self) -> None:
        blocks = len(self.encoder_block_out_channels) - 1
        ratios = (self.spatial_compression_ratio, self.temporal_compression_ratio, self.patch_size)
        if any(ratio < 1 or ratio & (ratio - 1) for ratio in ratios):
            raise ValueError(f"compression ratios and patch_size are powers of two, not {ratios}")
        if len(self.decode_block_out_channels) != blocks + 1 or blocks < 1:
            raise ValueError(
                "encoder_block_out_channels and decode_block_out_channels have equal lengths >= 2"
            )
        times, spaces = self.temporal_downsamplings, self.spatial_downsamplings
        if not 0 <= times <= spaces < blocks or times > max(0, blocks - 2):
            raise ValueError(
                f"{blocks} blocks and patches of {self.patch_size} do not give a compression of"
                f" {self.temporal_compression_ratio} in time and {self.spatial_compression_ratio} in space"
            )
        if self.levels and len(self.levels) != self.latent_channels:
            raise ValueError(
                f"{len(self.levels)} levels need as many latent_channels, not {self.latent_channels}"
            )

    @property
    def stride(self) -> Stride:
        """Frames and pixels per latent."""
        space = self.spatial_compression_ratio
        return Stride(self.temporal_compression_ratio, space, space)

    @property
    def spatial_downsamplings(self) -> int:
        """Downsamplings of height and width after the wavelet transform."""
        return int(math.log2(self.spatial_compression_ratio)) - int(math.log2(self.patch_size))

    @property
    def temporal_downsamplings(self) -> int:
        """Downsamplings of time after the wavelet transform."""
        return int(math.log2(self.temporal_compression_ratio)) - int(math.log2(self.patch_size))

    def encoder_resampling(self, block: int) -> tuple[bool, bool]:
        """Whether a block of the encoder ends with a downsampling of time, and of height and width."""
        return block < self.temporal_downsamplings, block < self.spatial_downsamplings

    def decoder_resampling(self, block: int) -> tuple[bool, bool]:
        """Whether a block of the decoder ends with an upsampling of time, and of height and width.

        The order is that of the released weights: time is not upsampled by the first block.
        """
        is_last = block >= len(self.decode_block_out_channels) - 2
        time = 0 < block <= self.temporal_downsamplings and not is_last
        extra = self.spatial_downsamplings > self.temporal_downsamplings
        return time, time or (block < self.spatial_downsamplings and extra and not is_last)


FSQ_LEVELS = (8, 8, 8, 5, 5, 5)

CONFIGS = {
    "CV4x8x8": CosmosTokenizerConfig(
        patch_size=2, temporal_compression_ratio=4, temporal_attention_window=13
    ),
    "CV8x8x8": CosmosTokenizerConfig(temporal_attention_window=16),
    "CV8x16x16": CosmosTokenizerConfig(spatial_compression_ratio=16, temporal_attention_window=7),
    "DV4x8x8": CosmosTokenizerConfig(
        latent_channels=6, levels=FSQ_LEVELS, z_channels=256, patch_size=2, temporal_compression_ratio=4,
        temporal_attention_window=13,
    ),
    "DV8x16x16": CosmosTokenizerConfig(
        latent_channels=6, levels=FSQ_LEVELS, z_channels=16, spatial_compression_ratio=16,
        temporal_attention_window=7,
    ),
}  # fmt: skip
"""Published shapes. The window of temporal attention is a clip of the published training: 49 frames, and
121 for CV8x8x8."""
