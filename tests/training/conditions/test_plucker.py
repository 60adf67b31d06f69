"""Pluecker rays have the invariants of rays, and poses that are none are refused."""

import math

import pytest
import torch
from torch import Tensor

from training.conditions.plucker import (
    check_poses,
    encode_camera,
    fit_intrinsics,
    intrinsics_of_rays,
    plucker_rays,
    relative_poses,
    scale_translations,
)
from training.conditions.trajectories import TRAJECTORIES, camera_trajectory
from training.errors import SettingError

STRIDE = (4, 8, 8)
SIZE = (4, 6)
INTRINSICS = torch.tensor([40.0, 42.0, 23.0, 17.0], dtype=torch.float64)


def rotation(seed: int) -> Tensor:
    random = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q, _ = torch.linalg.qr(random)
    return q * torch.linalg.det(q).sign()


def make_poses(frames: int = 9) -> Tensor:
    """A trajectory through a random world frame."""
    path = camera_trajectory("arc_left", frames, 4.0, speed=0.7, radius=1.5)
    return moved(path, rotation(1), torch.tensor([3.0, -2.0, 5.0], dtype=torch.float64))


def moved(poses: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """The poses in another world frame."""
    return torch.cat([turn @ poses[:, :, :3], (turn @ poses[:, :, 3:]) + shift[:, None]], -1)


def encode(poses: Tensor, scale: float = 1.0, size: tuple[int, int] = SIZE) -> Tensor:
    return encode_camera(poses, INTRINSICS.expand(len(poses), 4), scale, size, STRIDE)


def test_the_invariants_of_rays() -> None:
    poses = make_poses()
    rays = encode(poses)
    assert rays.shape == (6, 3, *SIZE)
    directions, moments = rays[:3], rays[3:]
    assert float((directions * moments).sum(0).abs().max()) < 1e-6
    assert float((directions.square().sum(0) - 1).abs().max()) < 1e-6
    assert float(moments[:, 0].abs().max()) == 0  # the first camera is at the origin
    assert float(moments[:, 1:].abs().amax((0, 2, 3)).min()) > 0.1
    other_world = moved(poses, rotation(2), torch.tensor([9.0, 1.0, -4.0], dtype=torch.float64))
    assert torch.allclose(encode(other_world), rays, atol=1e-6)
    scaled = torch.cat([poses[:, :, :3], 10 * poses[:, :, 3:]], -1)
    assert torch.allclose(encode(scaled)[:3], directions)
    assert torch.allclose(encode(scaled)[3:], 10 * moments, atol=1e-5)
    assert torch.allclose(encode(scaled, scale=10.0), rays, atol=1e-6)
    assert torch.allclose(encode(scaled, scale=0.0), encode(poses, scale=0.0), atol=1e-6)  # per clip


def test_a_pose_changes_the_latent_frame_that_it_ends_and_no_other() -> None:
    poses = make_poses()
    for frame, latent in ((8, 2), (4, 1)):
        other = poses.clone()
        other[frame, :, 3] += 1
        changed = (encode(other) != encode(poses)).any(0).any(-1).any(-1)
        assert changed.nonzero().flatten().tolist() == [latent]
    inside = poses.clone()
    inside[5, :, 3] += 1  # latent frame 2 has the pose of its last frame, 8
    assert torch.equal(encode(inside), encode(poses))


def test_a_ray_passes_through_the_point_that_its_pixel_shows() -> None:
    poses = relative_poses(make_poses())
    rays = plucker_rays(poses, INTRINSICS.expand(9, 4), SIZE, STRIDE[1:]).double()
    frame, row, column = 7, 2, 5
    pixel = torch.tensor([(column + 0.5) * 8, (row + 0.5) * 8], dtype=torch.float64)
    point_in_camera = torch.cat([(pixel - INTRINSICS[2:]) / INTRINSICS[:2], torch.ones(1)]) * 3.7
    point = poses[frame, :, :3] @ point_in_camera + poses[frame, :, 3]
    direction, moment = rays[:, frame, row, column].split(3)
    assert torch.allclose(torch.linalg.cross(point, direction), moment, atol=1e-5)


def test_intrinsics_follow_scaling_and_cropping() -> None:
    """The ray of a pixel is that of the same pixel after the frame was scaled and cropped."""
    height, width, new_height, new_width = 48, 96, 24, 32
    fitted = fit_intrinsics(INTRINSICS, (height, width), (new_height, new_width))
    x, y = 50.0, 20.0  # in the frame before: half as large afterwards, and 8 px are cut off on the left
    new_x, new_y = x / 2 - 8, y / 2
    before = ((x - INTRINSICS[2]) / INTRINSICS[0], (y - INTRINSICS[3]) / INTRINSICS[1])
    after = ((new_x - fitted[2]) / fitted[0], (new_y - fitted[3]) / fitted[1])
    assert torch.allclose(torch.stack(before), torch.stack(after))
    share = torch.tensor(intrinsics_of_rays(encode(make_poses())[:, 0]), dtype=torch.float64)
    assert torch.allclose(share, INTRINSICS / torch.tensor([48.0, 32.0, 48.0, 32.0]), atol=1e-5)


def test_a_camera_that_only_rotates_keeps_its_moments_at_zero() -> None:
    poses = camera_trajectory("rotate_left", 9, 4.0)
    assert float(encode(poses, scale=0.0)[3:].abs().max()) == 0
    assert torch.equal(scale_translations(poses, 0.0), poses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda poses: poses[:, :, :3], "are not \\[n 3 4\\]"),
        (lambda poses: poses * 1.01, "rotation of camera pose 0 is none"),
        (lambda poses: torch.cat([-poses[:, :, :3], poses[:, :, 3:]], -1), "determinant is -1"),
        (lambda poses: poses / 0, "not finite"),
    ],
)
def test_poses_that_are_none_are_refused(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=message):
        check_poses(change(make_poses()))
    with pytest.raises(ValueError, match="8 poses and 8 intrinsics are not those of 1 \\+ k \\* 4 frames"):
        encode(make_poses(8))


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_named_trajectories_move_the_camera_where_they_say(name: str) -> None:
    poses = camera_trajectory(name, 5, fps=4.0, speed=2.0, rotation_speed=30.0, radius=3.0)
    check_poses(poses)
    assert torch.equal(poses[0], torch.eye(3, 4, dtype=torch.float64))
    view, center = poses[-1, :, 2], poses[-1, :, 3]
    speeds = torch.linalg.vector_norm(poses[1:, :, 3] - poses[:-1, :, 3], dim=1) * 4
    sign = -1 if name.split("_")[-1] in ("left", "up", "backward") else 1
    axis = {"left": 0, "right": 0, "up": 1, "down": 1}.get(name.split("_")[-1], 2)
    if name.startswith(("rotate", "tilt")):
        assert torch.equal(center, torch.zeros(3, dtype=torch.float64))
        assert float(view[2]) == pytest.approx(math.cos(math.radians(30)))
        assert float(view[axis]) * sign == pytest.approx(0.5)
    elif name.startswith("arc"):
        assert float(center[0]) * sign > 1
        ahead = torch.tensor([0, 0, 3.0], dtype=torch.float64)
        assert torch.allclose(center + 3.0 * view, ahead)  # it still looks at the point ahead
        assert float(speeds.max()) == pytest.approx(2.0, rel=0.01)
    elif name != "static":
        assert float(center[axis]) * sign == pytest.approx(2.0)
        assert torch.allclose(speeds, torch.full((4,), 2.0, dtype=torch.float64))


def test_an_unknown_trajectory_is_refused() -> None:
    with pytest.raises(SettingError, match="no camera trajectory 'sideways'"):
        camera_trajectory("sideways", 5, 4.0)
