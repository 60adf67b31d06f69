"""Planes of several cameras: a view is filled with what its neighbors show, and with nothing else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.conditions.plucker import plucker_rays
from training.diffusion.conditioning import Conditioning
from training.diffusion.views import split_conditioning, split_views
from training.networks.multiplane.head import MultiplaneHead
from training.networks.unet3d import UNet3D, UNet3DConfig

CONFIG = UNet3DConfig(
    model_channels=8,
    layers_per_block=1,
    channels=12,
    attention_head_dim=8,
    text_embed_dim=12,
    norm_num_groups=4,
    camera_injection="channels",
    concat_last_given=True,
    given_planes=3,
    patch=2,
    views=("front", "left", "rear"),
    view_neighbors=(("front", "left"),),
)
YAWS = {"front": 0.0, "left": 60.0, "rear": 180.0}  # degrees to the left
H, W = 24, 32  # latents, of 48 x 64 px
INTRINSICS = torch.tensor([35.0, 35.0, 32.0, 24.0])  # 85 degrees


def turned(degrees: float) -> Tensor:
    """The pose [3 4] of a camera at the origin that is turned to the left."""
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rotation = torch.stack([c, zero, -s, zero, one, zero, s, zero, c]).view(3, 3)
    return torch.cat([rotation, torch.zeros(3, 1, dtype=torch.float64)], 1)


def scene_at_infinity(poses: Tensor) -> Tensor:
    """Latents [12 n h w] of what cameras at the origin see of far lights."""
    ways = plucker_rays(poses, INTRINSICS.expand(len(poses), 4), (48, 64), (1, 1))[:3]
    x, y, z = ways
    images = torch.stack([torch.sin(3 * x + y), torch.cos(4 * z), torch.sin(3 * y - 2 * x)])
    return nn.functional.pixel_unshuffle(images.transpose(0, 1), 2).transpose(0, 1)


def turning_car(views: tuple[str, ...], given: tuple[str, ...]) -> tuple[Tensor, Conditioning]:
    """Latents [1 12 (v 3) h w] of a car that turns by 30 degrees to the left; the first frames are given."""
    poses = torch.stack([turned(YAWS[name] + turn) for name in views for turn in (0.0, 15.0, 30.0)])
    latents = scene_at_infinity(poses)[None]
    mask = torch.zeros(1, 1, 3 * len(views), H, W)
    for number, name in enumerate(views):
        mask[:, :, 3 * number] = float(name in given)
    rays = plucker_rays(poses, INTRINSICS.expand(len(poses), 4), (H, W), (2, 2))[None]
    indices = torch.tensor([[CONFIG.views.index(name) for name in views]])
    return latents, Conditioning(
        camera=rays, condition_mask=mask, condition_latents=latents, view_indices=indices
    )


def rendered(config: UNet3DConfig, views: tuple[str, ...], given: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Error of what is rendered of the last frame of each view, and its visible share, both [v h w]."""
    latents, conditioning = turning_car(views, given)
    network = UNet3D(config).requires_grad_(False)
    found: list[Tensor] = []
    head = network.plane_head
    assert isinstance(head, MultiplaneHead)
    assert head.conv_out.bias is not None
    head.conv_out.bias[: 4 * (CONFIG.given_planes - 1)] = -20  # only the plane at infinity
    head.embed.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    network(latents, torch.tensor([0.9]), conditioning)
    each, last = split_views(latents, len(views)), split_conditioning(conditioning).last_given()
    assert last is not None
    return (found[0][:, :-1, 2] + last[:, :, 0] - each[:, :, 2]).abs().amax(1), found[0][:, -1, 2]


def test_what_a_view_does_not_show_is_filled_from_its_neighbors() -> None:
    alone, seen_alone = rendered(replace(CONFIG, view_neighbors=()), ("front", "left"), ("front", "left"))
    joint, seen = rendered(CONFIG, ("front", "left"), ("front", "left"))
    whole = seen_alone > 0.999
    assert 0.4 < float(whole[0].float().mean()) < 0.8
    shown = seen > 0.999
    assert float(shown[0].float().mean()) > float(whole[0].float().mean()) + 0.2
    assert float(joint[0][shown[0]].max()) < 0.05  # the front camera shows what only the left one has seen
    assert float(alone[0][shown[0]].max()) > 0.7
    torch.testing.assert_close(joint[whole], alone[whole])
    assert float(seen[1].min()) < 0.01  # nothing has seen what is left of the left camera


def test_other_views_do_not_count() -> None:
    both, seen = rendered(CONFIG, ("front", "rear"), ("front", "rear"))
    alone, seen_alone = rendered(replace(CONFIG, view_neighbors=()), ("front", "rear"), ("front", "rear"))
    assert torch.equal(both, alone)
    assert torch.equal(seen, seen_alone)


def test_a_view_without_a_given_frame_shows_what_its_neighbor_has_seen() -> None:
    error, seen = rendered(CONFIG, ("left", "front"), ("left",))
    shown = seen[1] > 0.999
    assert 0.2 < float(shown.float().mean()) < 0.8
    assert float(error[1][shown].max()) < 0.05
    assert not rendered(replace(CONFIG, view_neighbors=()), ("left", "front"), ("left",))[1][1].any()


def test_without_neighbors_each_view_is_a_clip_of_its_own() -> None:
    latents, conditioning = turning_car(CONFIG.views, CONFIG.views)
    config = replace(CONFIG, view_neighbors=())
    network = UNet3D(config).requires_grad_(False)
    for name, weight in network.named_parameters():
        nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    single = UNet3D(replace(config, views=())).requires_grad_(False)
    single.load_state_dict(network.state_dict())
    together = network(latents, torch.tensor([0.9]), conditioning)
    each = split_conditioning(conditioning)
    apart = single(split_views(latents, 3), torch.full((3,), 0.9), replace(each, view_indices=None))
    torch.testing.assert_close(split_views(together, 3), apart)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        network(latents, torch.tensor([0.9]), conditioning)
    assert network.flops(tuple(latents.shape), 0, num_views=3) == counted.get_total_flops()
    with pytest.raises(ValueError, match=r"view_indices \(1, 2\) do not fit latents \(1, 12, 9, 24, 32\)"):
        network(latents, torch.tensor([0.9]), replace(conditioning, view_indices=torch.zeros(1, 2).long()))
    with pytest.raises(ValueError, match="a U-Net of several views needs given_planes"):
        replace(CONFIG, given_planes=0)
