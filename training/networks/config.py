"""The configuration of a video transformer, and predefined sizes."""

from dataclasses import dataclass

PATCH_SIZE = (1, 2, 2)  # latents per token along t, h, w


@dataclass(frozen=True)
class VideoDiTConfig:
    """The shape of a network. Names are those of diffusers' CosmosTransformer3DModel where it has them.

    Attributes:
        num_attention_heads: Heads of attention.
        attention_head_dim: Width of a head. Width of a token: num_attention_heads * attention_head_dim.
        num_layers: Transformer blocks.
        channels: Channels of the latents.
        text_embed_dim: Width of the text embeddings.
        adaln_lora_dim: Inner width of the low-rank map of each adaptive norm.
        rope_scale: Scale of the rotary wavelengths along t, h, w. Larger latents need more.
        timestep_scale: Factor of the timestep before its sinusoids; 1 is that of Cosmos-Predict2.5.
    """

    num_attention_heads: int = 4
    attention_head_dim: int = 32
    num_layers: int = 3
    channels: int = 16
    text_embed_dim: int = 128
    adaln_lora_dim: int = 32
    rope_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    timestep_scale: float = 1000.0

    @property
    def width(self) -> int:
        """Width of a token."""
        return self.num_attention_heads * self.attention_head_dim


MODEL_CONFIGS = {
    "tiny": VideoDiTConfig(),
    "small": VideoDiTConfig(
        num_attention_heads=8, attention_head_dim=48, num_layers=12, text_embed_dim=384, adaln_lora_dim=96
    ),
}
