"""Camera trajectories for sampling, as with a joystick: the camera moves at a constant speed.

Axes are those of OpenCV: x right, y down, z forward. Poses are camera-to-world [R|t], and the first is [1|0].
"""

import math

import torch
from torch import Tensor

from training.errors import SettingError

_DIRECTIONS = {
    "static": (0.0, 0.0, 0.0),
    "forward": (0.0, 0.0, 1.0),
    "backward": (0.0, 0.0, -1.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "up": (0.0, -1.0, 0.0),
    "down": (0.0, 1.0, 0.0),
}
_ROTATIONS = {
    "rotate_left": (1, -1.0),
    "rotate_right": (1, 1.0),
    "tilt_up": (0, 1.0),
    "tilt_down": (0, -1.0),
}  # axis of the rotation (0 x, 1 y), and its sign
_ARCS = {"arc_left": -1.0, "arc_right": 1.0}
TRAJECTORIES = (*_DIRECTIONS, *_ROTATIONS, *_ARCS)


def camera_trajectory(
    name: str, frames: int, fps: float, speed: float = 1.0, rotation_speed: float = 20.0, radius: float = 2.0
) -> Tensor:
    """The pose of each frame, float64 [frames 3 4].

    Args:
        name: One of `TRAJECTORIES`. An arc moves sideways on a circle around the point `radius` ahead, which
            the camera keeps looking at.
        frames: Number of frames.
        fps: Frames per second.
        speed: Speed of translations and along an arc, in units of the poses per s.
        rotation_speed: Speed of rotations, in degrees per s.
        radius: Radius of an arc, in units of the poses.

    Raises:
        SettingError: There is no such trajectory, or the radius is not above 0.
    """
    if name not in TRAJECTORIES:
        raise SettingError(
            f"there is no camera trajectory {name!r}",
            remedy=f"choose one of {', '.join(TRAJECTORIES)}, or name a .npy or .parquet file of poses",
        )
    if radius <= 0:
        raise SettingError(f"the radius of an arc is {radius:g}; it must be above 0")
    times = torch.arange(frames, dtype=torch.float64) / fps
    rotations = torch.eye(3, dtype=torch.float64).repeat(frames, 1, 1)
    centers = torch.zeros(frames, 3, dtype=torch.float64)
    if name in _DIRECTIONS:
        centers = times[:, None] * speed * torch.tensor(_DIRECTIONS[name], dtype=torch.float64)
    elif name in _ROTATIONS:
        axis, sign = _ROTATIONS[name]
        rotations = _rotate(axis, sign * math.radians(rotation_speed) * times)
    else:
        angles = _ARCS[name] * speed * times / radius
        centers[:, 0], centers[:, 2] = radius * angles.sin(), radius * (1 - angles.cos())
        rotations = _rotate(1, -angles)
    return torch.cat([rotations, centers[..., None]], -1)


def _rotate(axis: int, angles: Tensor) -> Tensor:
    """Rotations [n 3 3] about x (0) or y (1) by angles [n] in radians."""
    cos, sin = angles.cos(), angles.sin()
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(angles), 1, 1)
    one, two = (1, 2) if axis == 0 else (2, 0)
    rotations[:, one, one], rotations[:, two, two] = cos, cos
    rotations[:, one, two], rotations[:, two, one] = -sin, sin
    return rotations
