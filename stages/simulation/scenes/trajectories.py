"""Trajectories of cameras: poses [3 4], camera to world, in axes of OpenCV. The world has z up."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.simulation.film import Floats


class Start(NamedTuple):
    """Where a trajectory begins.

    Attributes:
        position: Position in m, [3].
        yaw: Direction of view around the z axis in rad; 0 looks along x, and higher turns left.
        pitch: Direction of view above the horizon in rad.
    """

    position: npt.ArrayLike
    yaw: float
    pitch: float = 0.0


def look(position: npt.ArrayLike, yaw: npt.ArrayLike, pitch: npt.ArrayLike = 0.0) -> Floats:
    """Poses [.. 3 4] of level cameras at positions [.. 3], with yaw and pitch [..] in rad."""
    yaw, pitch = np.broadcast_arrays(np.asarray(yaw, np.float64), np.asarray(pitch, np.float64))
    zero = np.zeros_like(yaw)
    forward = np.stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)], -1)
    right = np.stack([np.sin(yaw), -np.cos(yaw), zero], -1)
    down = np.cross(forward, right)
    where = np.broadcast_to(np.asarray(position, np.float64), forward.shape)
    return np.stack([right, down, forward, where], -1)


def _straight(across: float, along: float) -> Callable[[Start, Floats, float], Floats]:
    """A trajectory without rotation, in parts of the speed to the right and forward."""

    def trajectory(start: Start, lengths: Floats, _: float) -> Floats:
        pose = look(start.position, start.yaw, start.pitch)
        ahead = np.array([np.cos(start.yaw), np.sin(start.yaw), 0])
        step = across * pose[:, 0] + along * ahead
        return look(
            np.asarray(start.position) + lengths[:, None] * step, [start.yaw] * len(lengths), start.pitch
        )

    return trajectory


def _rotation(turn: float) -> Callable[[Start, Floats, float], Floats]:
    """A rotation on the spot. A length of 1 m is an angle of 1 rad."""

    def trajectory(start: Start, lengths: Floats, _: float) -> Floats:
        return look(start.position, start.yaw + turn * lengths, start.pitch)

    return trajectory


def _arc(turn: float) -> Callable[[Start, Floats, float], Floats]:
    """A circle around a point ahead, which the camera looks at."""

    def trajectory(start: Start, lengths: Floats, radius: float) -> Floats:
        position = np.asarray(start.position, np.float64)
        center = position + radius * np.array([np.cos(start.yaw), np.sin(start.yaw), 0])
        yaw = start.yaw + turn * lengths / radius
        around = np.stack([np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)], -1)
        return look(center - radius * around, yaw, start.pitch)

    return trajectory


# A camera that moves right around a point ahead turns left, so `arc_right` has the sign of a left turn.
MOTIONS: Mapping[str, Callable[[Start, Floats, float], Floats]] = {
    "forward": _straight(0, 1),
    "backward": _straight(0, -1),
    "left": _straight(-1, 0),
    "right": _straight(1, 0),
    "rotate_left": _rotation(1),
    "rotate_right": _rotation(-1),
    "arc_left": _arc(-1),
    "arc_right": _arc(1),
}


def camera_trajectory(motion: str, start: Start, lengths: Floats, radius: float = 2.0) -> Floats:
    """The poses [t 3 4] of a camera that has moved by `lengths` [t] m, or rad on the spot.

    Args:
        motion: A name out of `MOTIONS`.
        start: Where it begins, at length 0.
        lengths: Length of the trajectory at each frame.
        radius: Distance in m of the point that an arc goes around.
    """
    return MOTIONS[motion](start, np.asarray(lengths, np.float64), radius)
