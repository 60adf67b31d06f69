"""The rig of several cameras: where they are, and where they look, relative to the first of them."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from training.conditions.plucker import relative_poses
from training.conditions.reader import FrameConditions

_GRID = 24  # rays of a camera along each side of its image


def rig_of(views: Mapping[str, FrameConditions], size: tuple[int, int]) -> dict[str, dict[str, list[float]]]:
    """The rig at the first frame of a clip, as a model file has it.

    Args:
        views: The stored conditions of each camera, the first one first.
        size: Height and width of the frames in px.

    Returns:
        "pose" [R|t] row by row in the coordinates of the first camera, and "intrinsics" fx, fy, cx, cy as
        shares of width and height, by camera.
    """
    origin = next(iter(views.values()))["camera_pose"][0]
    height, width = size
    shares = torch.tensor([width, height, width, height], dtype=torch.float64)
    rig = {}
    for name, stored in views.items():
        pose = relative_poses(stored["camera_pose"][:1], origin).flatten().tolist()
        intrinsics = (stored["camera_intrinsics"][0].double() / shares).tolist()
        rig[name] = {
            "pose": [round(value, 6) for value in pose],
            "intrinsics": [round(value, 6) for value in intrinsics],
        }
    return rig


def overlap_share(first: Mapping[str, Any], second: Mapping[str, Any], distance: float = 0.0) -> float:
    """The share of the rays of one camera that the other sees at a distance; of both ways the larger one.

    Args:
        first: A camera as `rig_of` records it.
        second: Another one.
        distance: From the camera, in the unit of the poses, where a ray ends. 0: at infinity, where only the
            directions and the fields of view count.
    """
    return max(_seen_share(first, second, distance), _seen_share(second, first, distance))


def _seen_share(camera: Mapping[str, Any], other: Mapping[str, Any], distance: float) -> float:
    """The share of the rays of a camera, evenly spread over its image, whose ends another camera sees."""
    (pose, known), (pose_of_other, known_of_other) = (
        (
            torch.tensor(each["pose"], dtype=torch.float64).reshape(3, 4),
            torch.tensor(each["intrinsics"], dtype=torch.float64),
        )
        for each in (camera, other)
    )
    side = (torch.arange(_GRID, dtype=torch.float64) + 0.5) / _GRID
    pixels = torch.cartesian_prod(side, side)  # x and y as shares of width and height
    rays = torch.cat([(pixels - known[2:]) / known[:2], torch.ones(len(pixels), 1)], 1)
    directions = torch.nn.functional.normalize(rays, dim=1) @ pose[:, :3].T
    ends = directions if distance == 0 else directions * distance + pose[:, 3] - pose_of_other[:, 3]
    x, y, z = (ends @ pose_of_other[:, :3]).unbind(1)
    in_front = z > 1e-9
    seen = torch.stack([x, y], 1) / torch.where(in_front, z, 1.0)[:, None] * known_of_other[:2]
    seen = seen + known_of_other[2:]
    return float((in_front & (seen >= 0).all(1) & (seen <= 1).all(1)).double().mean())


def find_neighbors(
    rig: Mapping[str, Mapping[str, Any]], min_share: float, distance: float = 0.0
) -> tuple[tuple[str, str], ...]:
    """The pairs of cameras of a rig whose `overlap_share` is above 0 and at least `min_share`."""
    shares = {(a, b): overlap_share(rig[a], rig[b], distance) for a, b in combinations(rig, 2)}
    return tuple(pair for pair, share in shares.items() if share > 0 and share >= min_share)


def move_rig(path: Tensor, recorded: Mapping[str, Any]) -> Tensor:
    """The poses [n 3 4] of a camera of a rig whose first camera has the poses `path` [n 3 4]."""
    pose = torch.tensor(recorded["pose"], dtype=torch.float64).reshape(3, 4)
    path = path.double()
    rotations = path[:, :, :3] @ pose[:, :3]
    centers = path[:, :, :3] @ pose[:, 3] + path[:, :, 3]
    return torch.cat([rotations, centers[..., None]], -1)
