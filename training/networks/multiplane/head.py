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

from training.diffusion.conditioning import Conditioning
from training.networks.embed import count_weights
from training.networks.multiplane.geometry import cameras_of_rays, places_in_source
from training.networks.unet_config import UNet3DConfig


class Rendering(NamedTuple):
    """What is rendered.

    Attributes:
        latents: [b c t h w], float32.
        visible: Share of each latent that a given frame shows, [b 1 t h w].
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

    def motion(
        self, conditioning: Conditioning, neighbors: tuple[Tensor, Tensor] | None = None
    ) -> Tensor | None:
        """The last given frame as each camera sees it, less that frame, and the visible share, [n c+1 t h w].

        Args:
            conditioning: Of clips of one view each.
            neighbors: As in `forward`.

        Returns:
            None without a given frame or a camera.
        """
        last, source = conditioning.last_given(), conditioning.last_given_camera()
        if last is None or source is None or conditioning.camera is None:
            return None
        rendering = self(last, source, conditioning.camera, neighbors)
        return torch.cat([rendering.latents - last, rendering.visible], 1)

    def forward(
        self,
        last: Tensor,
        source_rays: Tensor,
        rays: Tensor,
        neighbors: tuple[Tensor, Tensor] | None = None,
    ) -> Rendering:
        """The given frame as the cameras of `rays` see it, filled with those of neighbors.

        A given frame without a camera shows nothing. Where nothing is shown, the latents continue the border
        of the given frame.

        Args:
            last: The given latent frame of each clip or view, [n c 1 h w].
            source_rays: Its rays (d, m), [n 6 1 h w]; zeros where none is given.
            rays: The rays of the frames, [n 6 t h w].
            neighbors: Rows out of n of the neighbors of each view, [n k], and which of them count, [n k].
        """
        frame = nn.functional.pixel_shuffle(last[:, :, 0], self.patch)
        planes = torch.cat(self._planes(frame), 2)
        known = source_rays.any(1).flatten(1).any(1), rays.any(1).flatten(2).any(2)  # [n], [n t]
        n, t = known[1].shape
        cameras, centers = cameras_of_rays(torch.cat([source_rays, rays], 2).transpose(1, 2).flatten(0, 1))
        cameras, centers = (torch.unflatten(x, 0, (n, -1)) for x in (cameras, centers))

        def render(sources: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
            """What each frame shows of a source, [n t c h w], and its visible share, [n t 1 h w]."""
            places, ahead = places_in_source(
                (
                    cameras[sources, :1].expand(-1, t, -1, -1).flatten(0, 1),
                    centers[sources, :1].expand(-1, t, -1).flatten(0, 1),
                ),
                (cameras[:, 1:].flatten(0, 1), centers[:, 1:].flatten(0, 1)),
                torch.linspace(0, 1 / self.nearest, self.planes, device=last.device),
                (frame.shape[2], frame.shape[3]),
            )
            places, ahead = (torch.unflatten(x, 0, (n, t)) for x in (places, ahead))
            image, visible = _composite(planes[sources], places, ahead)
            is_seen = (known[0][sources] & counts)[:, None] & known[1]
            return image, visible[:, :, None] * is_seen[:, :, None, None, None]

        everyone = torch.arange(n, device=last.device)
        image, visible = render(everyone, torch.ones_like(known[0]))
        is_known = (known[0][:, None] & known[1])[:, :, None, None, None]
        image = torch.where(is_known, image, frame.float()[:, None])
        if neighbors is not None:
            rows, counts = neighbors
            others = [render(rows[:, k], counts[:, k]) for k in range(rows.shape[1])]
            shown = torch.stack([share for _, share in others]).sum(0)
            mean = torch.stack([x * share for x, share in others]).sum(0) / shown.clamp(min=1e-6)
            fill = (1 - visible) * shown.clamp(max=1)
            image, visible = image + fill * (mean - image), visible + fill
        latents = nn.functional.pixel_unshuffle(image.flatten(0, 1), self.patch)
        visible = nn.functional.avg_pool2d(visible.flatten(0, 1), self.patch)
        return Rendering(*(torch.unflatten(x, 0, (n, t)).transpose(1, 2) for x in (latents, visible)))

    def _planes(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Colors [b k c h w] and opacities [b k 1 h w] of the planes of a frame [b c h w], far to near."""
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
        return share * frame + (1 - share) * (frame + hidden), opacity[:, :, None]

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


def _composite(planes: Tensor, places: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
    """The image [b t c h w] and the share of it that the source shows, [b t h w].

    Args:
        planes: Colors and opacity, [b k c+1 h w]; the opacity of the farthest plane is 1.
        places: Where pixels see the planes, [b t k h w 2], as shares of width and height.
        ahead: Whether they do, [b t k h w].
    """
    b, t, k = places.shape[:3]
    planes = planes[:, None].expand(-1, t, -1, -1, -1, -1).flatten(0, 2)
    grid = (2 * places - 1).clamp(-3, 3).flatten(0, 2)
    seen = nn.functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    seen = torch.unflatten(seen, 0, (b, t, k))
    opacity = seen[:, :, :, -1] * ahead
    opacity = torch.cat([torch.ones_like(opacity[:, :, :1]), opacity[:, :, 1:]], 2)
    weights = opacity * _transmittance(opacity, 2)
    inside = ((places > 0) & (places < 1)).all(-1) & ahead
    return (weights[:, :, :, None] * seen[:, :, :, :-1]).sum(2), (weights * inside).sum(2)
