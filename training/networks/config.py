"""The shape of a video transformer, and some shapes by name."""

from dataclasses import dataclass

PATCH = (1, 2, 2)  # latents per token along t, h, w


@dataclass(frozen=True)
class Config:
    """The shape of a network.

    Attributes:
        heads, head_dim: of attention; their product is the width of a token.
        blocks: transformer blocks.
        channels: of the latents.
        told: width of what captions are read into.
        low_rank: inner width of each adaptive norm's map.
        stretch: of the rotary wavelengths along t, h, w; more suits larger latents.
        time_scale: multiplies the level before its sinusoids; 1 is Cosmos-Predict2.5's.
    """

    heads: int = 4
    head_dim: int = 32
    blocks: int = 3
    channels: int = 16
    told: int = 128
    low_rank: int = 32
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    time_scale: float = 1000.0

    @property
    def width(self) -> int:
        return self.heads * self.head_dim


SIZES = {
    "tiny": Config(),
    "small": Config(heads=8, head_dim=48, blocks=12, told=384, low_rank=96),
}
