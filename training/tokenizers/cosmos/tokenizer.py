"""The Cosmos tokenizers: continuous and discrete, encoding in chunks of any length."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from training.tensors import Video
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.cosmos.config import CosmosTokenizerConfig
from training.tokenizers.cosmos.layers import Conv
from training.tokenizers.cosmos.network import Decoder, Encoder
from training.tokenizers.frame_cache import FrameCache


class CosmosTokenizer(CausalTokenizer):
    """Implements `training.tokenizer.Tokenizer`, and `DiscreteTokenizer` if the config has levels.

    The parameters have the names and shapes of diffusers' AutoencoderKLCosmos. Continuous tokenizers are
    plain autoencoders: the latents are no samples of a distribution.

    Args:
        config: The shape of the tokenizer.
        digest: Identifies weights and architecture.
        normalized_frames: Latent frames that have a mean and standard deviation of their own.
    """

    class_name = "cosmos"

    def __init__(self, config: CosmosTokenizerConfig, digest: str = "", normalized_frames: int = 1) -> None:
        super().__init__(config.stride, config.latent_channels, config.levels, digest, normalized_frames)
        self.config = config
        z_channels = config.z_channels or config.latent_channels
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv = Conv(z_channels, config.latent_channels)
        self.post_quant_conv = Conv(config.latent_channels, z_channels)

    def config_dict(self) -> dict[str, Any]:
        """See `CausalTokenizer.config_dict`."""
        return asdict(self.config)

    def encode_chunk(self, video: Video, cache: FrameCache) -> Tensor:
        """See `CausalTokenizer.encode_chunk`."""
        features = self.encoder(video.movedim(1, -1).contiguous(), cache)
        z: Tensor = self.quant_conv(features, cache)
        return z.movedim(-1, 1)

    def decode_chunk(self, z: Tensor, cache: FrameCache) -> Video:
        """See `CausalTokenizer.decode_chunk`."""
        features = self.post_quant_conv(z.movedim(1, -1).contiguous(), cache)
        video: Tensor = self.decoder(features, cache)
        return video.movedim(-1, 1)
