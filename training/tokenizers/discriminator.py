"""A discriminator of videos, which scores overlapping places of a video.

Source: Isola et al. 2017, arXiv:1611.07004 (PatchGAN), with 3D convolutions.
"""

from torch import Tensor, nn

from training.tensors import Video


class VideoDiscriminator(nn.Module):
    """Four 3D convolutions with group norm; the first two halve height and width, the second also time.

    Args:
        channels: Channels of the first layer; the second has twice, the third four times as many.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(3, channels, (3, 4, 4), (1, 2, 2), (1, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv3d(channels, 2 * channels, (3, 4, 4), (2, 2, 2), (1, 1, 1)),
            nn.GroupNorm(1, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv3d(2 * channels, 4 * channels, (3, 4, 4), (1, 2, 2), (1, 1, 1)),
            nn.GroupNorm(1, 4 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv3d(4 * channels, 1, 3, 1, 1),
        )

    def forward(self, video: Video) -> Tensor:
        """The scores [b 1 t' h' w'] of places; higher ones mean that a place looks like a real video."""
        scores: Tensor = self.layers(video)
        return scores
