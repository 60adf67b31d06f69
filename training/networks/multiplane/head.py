"""A multiplane image of the last given frame, and its rendering at the camera of each frame.

A multiplane image has the colors and the opacity of a frame on planes of fixed depths. Seen from another
camera, each plane is a homography of the frame, so what is rendered moves as the camera moves, exactly: the
scene is rigid, whatever the network says of depth. What the frame does not show is left to the network.

Sources: Zhou et al. 2018, arXiv:1805.09817; Tucker & Snavely 2020, arXiv:2004.11364, for one frame; Ren et
al. 2025, arXiv:2503.03751 (GEN3C), for renderings of a given frame as the condition of a video model.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.networks.embed import count_weights
from training.networks.multiplane.geometry import cameras_of_rays, places_in_source
from training.networks.unet_config import UNet3DConfig


class Rendering(NamedTuple):
    """What is rendered.

    Attributes:
        latents: [b c t h w], float32.
        visible: Share of each latent that the given frame shows, [b 1 t h w].
    """

    latents: Tensor
    visible: Tensor


class MultiplaneHead(nn.Module):
    """Predicts the multiplane image by a small 2-D U-Net, and renders it.

    The disparities of the planes, 1 / depth, are at equal distances from 0 to that of `nearest_plane`.

    Args:
        config: The shape of the network that the head belongs to.

    Attributes:
        embed: The convolution of a rendering, less the given frame, and its visible share. The features of
            the network that the head belongs to get its output.
        gain: From these features at the end of the network to the factor of that difference in the output.
    """

    def __init__(self, config: UNet3DConfig) -> None:
        super().__init__()
        self.planes, self.nearest, self.patch = config.given_planes, config.nearest_plane, config.patch
        self.colors = config.channels // self.patch**2
        self.fold = 2 if self.patch % 2 == 0 else 1  # features have half the resolution of pixels
        width, groups = config.model_channels, config.norm_num_groups
        wide = 4 * width
        self.encoder = nn.ModuleList(
            [
                PlaneLayer(self.colors * self.fold**2, width, groups),
                PlaneLayer(width, 2 * width, groups, stride=2),
                PlaneLayer(2 * width, wide, groups, stride=2),
                PlaneLayer(wide, wide, groups, stride=2),
            ]
        )
        self.center = nn.ModuleList(PlaneLayer(wide, wide, groups) for _ in range(2))
        self.decoder = nn.ModuleList(
            [
                PlaneLayer(2 * wide, wide, groups),
                PlaneLayer(wide + 2 * width, 2 * width, groups),
                PlaneLayer(3 * width, width, groups),
            ]
        )
        self.conv_out = nn.Conv2d(width, (self.planes - 1 + self.colors) * self.fold**2, 3, padding=1)
        self.embed = nn.Conv3d(config.channels + 1, width, 3, padding=1, bias=False)
        self.gain = nn.Conv3d(width, config.channels, 1)

    def forward(self, last: Tensor, source_rays: Tensor, rays: Tensor) -> Rendering:
        """The given frame as the cameras of `rays` see it.

        Args:
            last: The given latent frame, [b c 1 h w].
            source_rays: Its rays (d, m), [b 6 1 h w].
            rays: The rays of the frames, [b 6 t h w].
        """
        frame = nn.functional.pixel_shuffle(last[:, :, 0], self.patch)
        layers, opacity = self._planes(frame)
        b, t = len(rays), rays.shape[2]
        cameras, centers = cameras_of_rays(torch.cat([source_rays, rays], 2).transpose(1, 2).flatten(0, 1))
        cameras, centers = cameras.unflatten(0, (b, -1)), centers.unflatten(0, (b, -1))
        source = cameras[:, :1].expand(-1, t, -1, -1), centers[:, :1].expand(-1, t, -1)
        places, ahead = places_in_source(
            (source[0].flatten(0, 1), source[1].flatten(0, 1)),
            (cameras[:, 1:].flatten(0, 1), centers[:, 1:].flatten(0, 1)),
            torch.linspace(0, 1 / self.nearest, self.planes, device=last.device),
            (frame.shape[2], frame.shape[3]),
        )
        image, visible = _composite(layers, opacity, places.unflatten(0, (b, t)), ahead.unflatten(0, (b, t)))
        latents = nn.functional.pixel_unshuffle(image.flatten(0, 1), self.patch).unflatten(0, (b, t))
        visible = nn.functional.avg_pool2d(visible.flatten(0, 1)[:, None], self.patch).unflatten(0, (b, t))
        return Rendering(latents.transpose(1, 2), visible.transpose(1, 2))

    def _planes(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Colors [b k c h w] and opacities [b k h w] of the planes of a frame [b c h w], far to near."""
        dtype, (h, w) = self.conv_out.weight.dtype, frame.shape[2:]
        multiple = 8 * self.fold
        x = nn.functional.pad(frame, (0, -w % multiple, 0, -h % multiple), mode="replicate").to(dtype)
        x = nn.functional.pixel_unshuffle(x, self.fold)
        skips = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        skips.pop()
        for layer in self.center:
            x = layer(x)
        for layer in self.decoder:
            x = nn.functional.interpolate(x, scale_factor=2.0)
            x = layer(torch.cat([x, skips.pop()], 1))
        x = nn.functional.pixel_shuffle(self.conv_out(x), self.fold)[:, :, :h, :w].float()
        opacity = torch.sigmoid(x[:, : self.planes - 1] - math.log(max(self.planes - 1, 2) / 2))
        opacity = torch.cat([torch.ones_like(opacity[:, :1]), opacity], 1)
        hidden = x[:, self.planes - 1 :][:, None]  # what is behind what the frame shows
        share = _transmittance(opacity)[:, :, None]  # of a plane that the frame shows
        frame = frame.float()[:, None]
        return share * frame + (1 - share) * (frame + hidden), opacity

    def flops(self, places: int, size: tuple[int, int]) -> int:
        """Half of the FLOPs of one clip of `places` t * h * w, of latents of height and width `size`."""
        area = math.prod(8 * math.ceil(side * self.patch / (8 * self.fold)) for side in size)
        count = places * count_weights(nn.ModuleList([self.embed, self.gain]))
        for level, layer in zip((0, 1, 2, 3), self.encoder, strict=True):
            count += area // 4**level * count_weights(layer)
        count += area // 64 * count_weights(self.center)
        for level, layer in zip((2, 1, 0), self.decoder, strict=True):
            count += area // 4**level * count_weights(layer)
        return count + area * count_weights(self.conv_out)


class PlaneLayer(nn.Module):
    """A convolution, normalization and SiLU."""

    def __init__(self, width_in: int, width_out: int, groups: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, stride, padding=1)
        self.norm = nn.GroupNorm(groups, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """[b width_in h w] to [b width_out h/stride w/stride]."""
        out: Tensor = nn.functional.silu(self.norm(self.conv(x)))
        return out


def _transmittance(opacity: Tensor, axis: int = 1) -> Tensor:
    """Share of the light of each plane that passes the planes in front of it; planes are far to near."""
    passes = torch.cumprod(torch.flip(1 - opacity.narrow(axis, 1, opacity.shape[axis] - 1), [axis]), axis)
    nearest = torch.ones_like(opacity.narrow(axis, 0, 1))
    return torch.cat([torch.flip(passes, [axis]), nearest], axis)


def _composite(colors: Tensor, opacity: Tensor, places: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
    """The image [b t c h w] and the share of it that the source shows, [b t h w].

    Args:
        colors: [b k c h w].
        opacity: [b k h w]; that of the farthest plane is 1.
        places: Where pixels see the planes, [b t k h w 2], as shares of width and height.
        ahead: Whether they do, [b t k h w].
    """
    b, t, k = places.shape[:3]
    planes = torch.cat([colors, opacity[:, :, None]], 2)  # [b k c+1 h w]
    planes = planes[:, None].expand(-1, t, -1, -1, -1, -1).flatten(0, 2)
    grid = (2 * places - 1).clamp(-3, 3).flatten(0, 2)
    seen = nn.functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    seen = seen.unflatten(0, (b, t, k))
    opacity = seen[:, :, :, -1] * ahead
    opacity = torch.cat([torch.ones_like(opacity[:, :, :1]), opacity[:, :, 1:]], 2)
    weights = opacity * _transmittance(opacity, 2)
    inside = ((places > 0) & (places < 1)).all(-1) & ahead
    return (weights[:, :, :, None] * seen[:, :, :, :-1]).sum(2), (weights * inside).sum(2)
