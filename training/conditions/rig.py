"""The rig of several cameras: where they are, and where they look, relative to the first of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from training.conditions.plucker import relative_poses
from training.conditions.reader import FrameConditions


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


def move_rig(path: Tensor, recorded: Mapping[str, Any]) -> Tensor:
    """The poses [n 3 4] of a camera of a rig whose first camera has the poses `path` [n 3 4]."""
    pose = torch.tensor(recorded["pose"], dtype=torch.float64).reshape(3, 4)
    path = path.double()
    rotations = path[:, :, :3] @ pose[:, :3]
    centers = path[:, :, :3] @ pose[:, 3] + path[:, :, 3]
    return torch.cat([rotations, centers[..., None]], -1)
