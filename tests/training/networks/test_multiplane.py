"""A multiplane image is seen as the camera says, and it begins without an effect."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from training.conditions.plucker import encode_camera
from training.diffusion.conditioning import Conditioning
from training.networks.config import is_condition_layer
from training.networks.multiplane.geometry import cameras_of_rays
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
    given_planes=5,
    nearest_plane=0.5,
    patch=2,
)
LATENTS = (24, 32)  # h, w of latents, of 48 x 64 px
PIXELS = (48, 64)


def rotation(x: float, y: float, z: float) -> Tensor:
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(skew)


def moving_camera() -> tuple[Tensor, Tensor]:
    """Poses [4 3 4], of which the first is not the origin of the world, and intrinsics [4 4] with a zoom."""
    start = rotation(0.3, -0.5, 0.2)
    turns = [rotation(0.02 * n, 0.03 * n, 0.01 * n) for n in range(4)]
    centers = [torch.tensor([0.08 * n, -0.02 * n, 0.03 * n], dtype=torch.float64) for n in range(4)]
    poses = torch.stack(
        [
            torch.cat([start @ turn, (start @ center + 2)[:, None]], 1)
            for turn, center in zip(turns, centers, strict=True)
        ]
    )
    return poses, torch.tensor([[50.0 + n, 55.0, 30.0, 25.0] for n in range(4)])


def rays_of(poses: Tensor, intrinsics: Tensor) -> Tensor:
    return encode_camera(poses, intrinsics, 1.0, LATENTS, (1, 2, 2))


def pattern(x: Tensor, y: Tensor) -> Tensor:
    """Colors [... 3] of places of a plane."""
    return torch.stack([torch.sin(9 * x), torch.cos(7 * y), torch.sin(5 * (x + y))], -1)


def exact_images(poses: Tensor, intrinsics: Tensor, depth: float) -> tuple[Tensor, Tensor]:
    """What cameras see of a plane before the first of them, [n 3 h w], and places in its image, [n h w 2]."""
    images, places = [], []
    height, width = PIXELS
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    first = poses[0]
    for pose, (fx, fy, cx, cy) in zip(poses, intrinsics.double(), strict=True):
        in_camera = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x, dtype=torch.float64)], -1)
        turned = in_camera @ (first[:, :3].T @ pose[:, :3]).T
        center = first[:, :3].T @ (pose[:, 3] - first[:, 3])
        on_plane = center + turned * ((depth - center[2]) / turned[..., 2:])
        images.append(pattern(on_plane[..., 0], on_plane[..., 1]).movedim(-1, 0))
        fx, fy, cx, cy = intrinsics[0].double()
        places.append(on_plane[..., :2] / depth * torch.stack([fx, fy]) + torch.stack([cx, cy]))
    return torch.stack(images).float(), torch.stack(places)


def head_with_opaque_plane(number: int) -> MultiplaneHead:
    head = MultiplaneHead(CONFIG)
    for weight in head.parameters():
        nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(head.conv_out.weight)
    nn.init.zeros_(head.conv_out.bias)
    bias = head.conv_out.bias.detach().view(-1, 4)  # 4 pixels of each channel
    bias[: CONFIG.given_planes - 1] = -20
    if number:
        bias[number - 1] = 20
    head.conv_out.bias = nn.Parameter(bias.flatten())
    return head


@pytest.mark.parametrize(("plane", "depth"), [(1, 2.0), (2, 1.0), (4, 0.5)])
def test_a_plane_is_seen_as_by_the_exact_camera(plane: int, depth: float) -> None:
    poses, intrinsics = moving_camera()
    images, places = exact_images(poses, intrinsics, depth)
    rays = rays_of(poses, intrinsics)[None]
    last = nn.functional.pixel_unshuffle(images[:1], 2)[:, :, None]
    with torch.inference_mode():
        rendering = head_with_opaque_plane(plane)(last, rays[:, :, :1], rays)
    found = nn.functional.pixel_shuffle(rendering.latents[0].transpose(0, 1), 2)
    height, width = PIXELS
    size = torch.tensor([width, height])
    inside = ((places > 0.5) & (places < size - 0.5)).all(-1)
    assert 0.4 < float(inside[3].float().mean()) < 0.99
    error = (found - images).abs().amax(1)
    assert float(error[inside].max()) < 0.03  # of bilinear interpolation
    assert float((images[3] - images[0]).abs().mean()) > 0.1
    visible = nn.functional.interpolate(rendering.visible[0, 0][:, None], scale_factor=2)[:, 0]
    assert float((visible.round() == inside).float().mean()) > 0.97
    torch.testing.assert_close(rendering.latents[:, :, 0], last[:, :, 0], atol=1e-4, rtol=0)


def test_the_farthest_plane_is_at_infinity_and_only_turns() -> None:
    poses, intrinsics = moving_camera()
    turned = poses.clone()
    turned[:, :, 3] = poses[0, :, 3]
    generator = torch.Generator().manual_seed(1)
    last = torch.randn(1, 12, 1, *LATENTS, generator=generator)
    head = head_with_opaque_plane(0)
    moved, only_turned = (
        head(last, rays[:, :, :1], rays).latents.detach()
        for rays in (rays_of(poses, intrinsics)[None], rays_of(turned, intrinsics)[None])
    )
    torch.testing.assert_close(moved, only_turned, atol=2e-4, rtol=0)
    assert float((moved[:, :, 3] - last[:, :, 0]).abs().mean()) > 0.1


def test_a_camera_does_not_see_a_plane_that_it_has_passed() -> None:
    poses = torch.eye(3, 4, dtype=torch.float64).repeat(2, 1, 1)
    poses[1, 2, 3] = 0.6  # the nearest plane is at 0.5
    intrinsics = torch.tensor([[50.0, 50.0, 32.0, 24.0]]).expand(2, 4)
    rays = rays_of(poses, intrinsics)[None]
    last = torch.randn(1, 12, 1, *LATENTS, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        passed = head_with_opaque_plane(4)(last, rays[:, :, :1], rays)
        behind = head_with_opaque_plane(0)(last, rays[:, :, :1], rays)
    torch.testing.assert_close(passed.latents[:, :, 1], behind.latents[:, :, 1], atol=1e-4, rtol=0)


def test_cameras_are_those_of_their_rays_and_the_identity_where_unknown() -> None:
    poses, intrinsics = moving_camera()
    rays = rays_of(poses, intrinsics).transpose(0, 1)
    cameras, centers = cameras_of_rays(torch.cat([rays, torch.zeros_like(rays[:1])]))
    first = poses[0, :, :3].T
    assert torch.allclose(centers[:4], (poses[:, :, 3] - poses[0, :, 3]) @ first.T, atol=1e-6)
    height, width = PIXELS
    for n, (fx, fy, cx, cy) in enumerate(intrinsics.tolist()):
        in_camera = torch.tensor([[width / fx, 0, -cx / fx], [0, height / fy, -cy / fy], [0, 0, 1]]).double()
        assert torch.allclose(cameras[n], first @ poses[n, :, :3] @ in_camera, atol=1e-5)
    assert torch.equal(cameras[4], torch.eye(3).double())
    assert not centers[4].any()


def conditioning(latents: Tensor, given_frames: int = 1) -> Conditioning:
    rays = rays_of(*moving_camera()).expand(len(latents), -1, -1, -1, -1)
    mask = torch.zeros(len(latents), 1, *latents.shape[2:])
    mask[:, :, :given_frames] = 1
    return Conditioning(camera=rays, condition_mask=mask, condition_latents=latents)


def fill(network: UNet3D) -> None:
    for name, weight in network.requires_grad_(False).named_parameters():
        nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))


def random_latents(clips: int) -> Tensor:
    return torch.randn(clips, 12, 4, *LATENTS, generator=torch.Generator().manual_seed(3))


def test_planes_begin_without_an_effect_and_count_only_with_a_camera_and_a_given_frame() -> None:
    latents, t = random_latents(2), torch.tensor([0.2, 0.9])
    base, network = UNet3D(replace(CONFIG, given_planes=0)), UNet3D(CONFIG)
    fill(base)
    missing, unexpected = network.load_state_dict(base.state_dict(), strict=False)
    assert missing
    assert all(map(is_condition_layer, missing))
    assert not unexpected
    known = conditioning(latents)
    torch.testing.assert_close(network(latents, t, known), base(latents, t, known))
    fill(network)
    network.load_state_dict(base.state_dict(), strict=False)
    assert float((network(latents, t, known) - base(latents, t, known)).abs().mean()) > 1e-3
    assert known.condition_mask is not None
    nothing = replace(known, condition_mask=torch.zeros_like(known.condition_mask))
    for unknown in (known.without_camera(), replace(known, camera=None), nothing):
        torch.testing.assert_close(network(latents, t, unknown), base(latents, t, unknown))
    one = known.without_camera(torch.tensor([True, False]))
    torch.testing.assert_close(network(latents, t, one)[1], network(latents, t, known)[1])


def test_the_depth_of_a_plane_is_learned_from_films() -> None:
    torch.manual_seed(0)
    poses, intrinsics = moving_camera()
    images, _ = exact_images(poses, intrinsics, 1.0)  # plane 2 of 5
    latents = nn.functional.pixel_unshuffle(images, 2).transpose(0, 1)[None]
    rays = rays_of(poses, intrinsics)[None]
    head = MultiplaneHead(CONFIG)
    nn.init.zeros_(head.conv_out.weight)
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-2)
    losses = []
    for _ in range(40):
        loss = (head(latents[:, :, :1], rays[:, :, :1], rays).latents - latents).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 4
    still = (latents[:, :, :1] - latents).square().mean()
    assert losses[-1] < float(still) / 20


def test_flops_equal_the_count_of_torch_and_bf16_works() -> None:
    latents = random_latents(1)
    rays, head = rays_of(*moving_camera())[None], head_with_opaque_plane(2)
    with FlopCounterMode(display=False) as counted:
        head(latents[:, :, :1], rays[:, :, :1], rays)
    ends = 4 * math.prod(LATENTS) * (head.embed.weight.numel() + head.gain.weight.numel())
    assert 2 * (head.flops(4 * math.prod(LATENTS), LATENTS) - ends) == counted.get_total_flops()
    network, known = UNet3D(CONFIG).requires_grad_(False), conditioning(latents)
    nn.init.normal_(network.conv_out.weight, std=0.1, generator=torch.Generator().manual_seed(5))
    expected = network(latents, torch.tensor([0.5]), known)
    out = network.to(torch.bfloat16)(latents, torch.tensor([0.5]), known)
    assert out.dtype == torch.bfloat16
    assert float((out - expected).abs().mean() / expected.abs().mean()) < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera_injection": None}, "given_planes needs camera_injection='channels' and concat_last_given"),
        ({"concat_last_given": False}, "given_planes needs camera_injection"),
        ({"given_planes": 1}, "given_planes is 1; allowed: 0 and at least 2"),
        ({"patch": 5}, "patch is 5; 12 channels are not those of such patches"),
    ],
)
def test_a_config_without_a_meaning_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)  # type: ignore[arg-type]
