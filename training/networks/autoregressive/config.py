"""The configuration of an autoregressive transformer, and predefined sizes."""

import math
from dataclasses import dataclass, replace

SPECIAL_TOKENS = 64  # rows of the input table after the ids: <bov> and padding to a multiple of 64


@dataclass(frozen=True)
class AutoregressiveConfig:
    """The shape of a network. Names are those of Llama configs where they have them.

    Attributes:
        vocab_size: Ids that can be predicted: the codebook of the tokenizer.
        hidden_size: Width of a token.
        num_hidden_layers: Transformer blocks.
        num_attention_heads: Heads of queries.
        num_key_value_heads: Heads of keys and values; it divides the heads of queries.
        head_dim: Width of a head: an even number from 18.
        intermediate_size: Inner width of the feed-forward layers.
        text_embed_dim: Width of the text embeddings in the cross-attention of each block. 0: the network
            reads no text.
        bos: A sequence begins with the token <bov>, whose id is vocab_size.
        rope_theta: Base of the rotary wavelengths. Higher values distinguish places that are farther apart,
            and lower ones neighbors.
        original_latent_frames: Latent frames of the training whose temporal positions YaRN extends. 0: the
            positions are not extended.
        max_latent_frames: Latent frames that YaRN extends the positions to. 0 with no extension.
        absolute_positions: Add sin-cos positions before each block, as Cosmos-Predict1 5B and 13B. Without
            them a small network learns late to look at a place by its position alone.
        fsq_levels: Levels of the finite scalar quantization of the tokenizer, whose product is vocab_size.
            The input is then the sum of one row for each level of an id, and the output a mixture of
            predictions of the levels. (): the input and the output have a row for each id.
        output_mixtures: Predictions of the levels in this mixture.
        medusa_heads: Medusa heads for speculative decoding; 0: none.

    Raises:
        ValueError: A value is not allowed.
    """

    vocab_size: int = 64000
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 384
    text_embed_dim: int = 128
    bos: bool = True
    rope_theta: float = 500_000.0
    original_latent_frames: int = 0
    max_latent_frames: int = 0
    absolute_positions: bool = False
    fsq_levels: tuple[int, ...] = ()
    output_mixtures: int = 8
    medusa_heads: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "fsq_levels", tuple(self.fsq_levels))  # JSON has lists
        if self.head_dim < 18 or self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}; an even number from 18")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"{self.num_attention_heads} heads of queries cannot share {self.num_key_value_heads} heads"
                " of keys and values"
            )
        if self.fsq_levels and math.prod(self.fsq_levels) != self.vocab_size:
            raise ValueError(f"fsq_levels {self.fsq_levels} do not make {self.vocab_size} ids")
        if self.original_latent_frames > self.max_latent_frames:
            raise ValueError(
                f"max_latent_frames is {self.max_latent_frames}; it must be at least"
                f" original_latent_frames, {self.original_latent_frames}"
            )

    @property
    def mask_text(self) -> bool:
        """Cross-attention ignores the padding of the text."""
        return True

    @property
    def text_input_dim(self) -> int:
        """Width of the text embeddings that the network is called with."""
        return self.text_embed_dim

    @property
    def input_rows(self) -> int:
        """Rows of the input table."""
        return self.vocab_size + SPECIAL_TOKENS * self.bos


_COSMOS_4B = AutoregressiveConfig(
    hidden_size=4096,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    intermediate_size=14336,
    text_embed_dim=0,
    bos=False,
)
_COSMOS_12B = replace(
    _COSMOS_4B, hidden_size=5120, num_hidden_layers=40, original_latent_frames=3, max_latent_frames=6
)


def _video2world(size: AutoregressiveConfig) -> AutoregressiveConfig:
    return replace(size, text_embed_dim=1024, bos=True, absolute_positions=True)


# The four Cosmos sizes have the layers that NVIDIA published. YaRN is that of the paper: of time alone.
AUTOREGRESSIVE_CONFIGS = {
    "tiny": AutoregressiveConfig(head_dim=64, rope_theta=100.0, absolute_positions=True),
    "small": AutoregressiveConfig(
        rope_theta=100.0,
        absolute_positions=True,
        hidden_size=512,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=1408,
        text_embed_dim=256,
    ),
    "4b": _COSMOS_4B,
    "5b": _video2world(_COSMOS_4B),
    "12b": _COSMOS_12B,
    "13b": _video2world(_COSMOS_12B),
}
