"""The position and orientation of the camera at each time of a shot."""

import math
from dataclasses import dataclass

import numpy as np

UNITS = {  # stored in the ground truth of each film
    "fixed": "1",
    "pan": "frame heights/s, to the right",
    "tilt": "frame heights/s, downwards",
    "zoom": "1/s, growth of all sizes",
    "roll": "degrees/s, counter-clockwise as seen",
    "shake": "frame heights, root mean square off the middle",
    "travel": "frame heights/s of the ground, to the right; what is farther slides less",
    "wander": "frame heights/s of the ground at its fastest",
}


@dataclass(frozen=True)
class Pose:
    """The camera at one time.

    Attributes:
        x: center of the view, in frame heights to the right.
        y: center of the view, in frame heights downwards.
        zoom: magnification.
        roll: rotation in radians.
        depth: weight of the nearness of layers: 0 for a camera that only turns, 1 for one that moves.
    """

    x: float
    y: float
    zoom: float
    roll: float
    depth: float


@dataclass(frozen=True)
class Camera:
    """A camera motion by name, and its amount in the unit of `UNITS`."""

    motion: str = "fixed"
    amount: float = 0.0

    def pose(self, time_s: float, duration_s: float) -> Pose:
        """The pose at a time of a shot. Halfway through, the view shows the center of the world."""
        offset = self.amount * (time_s - duration_s / 2)
        match self.motion:
            case "fixed":
                return Pose(0, 0, 1, 0, 0)
            case "pan":
                return Pose(offset, 0, 1, 0, 0.12)
            case "tilt":
                return Pose(0, offset, 1, 0, 0.12)
            case "zoom":
                return Pose(0, 0, math.exp(offset) * 1.12, 0, 0.05)
            case "roll":
                return Pose(0, 0, 1.15, math.radians(offset), 0)
            case "shake":
                return Pose(
                    self.amount * _hand_shake(time_s, 0), self.amount * _hand_shake(time_s, 1), 1.05, 0, 0.1
                )
            case "travel":
                return Pose(offset, 0, 1, 0, 1)
            case "wander":
                turn = 2 * math.pi * time_s / 23
                x = self.amount * 23 / (2 * math.pi) * math.sin(turn)
                return Pose(x, 0.1 * math.sin(turn * 1.7), 1.1 + 0.1 * math.sin(turn * 0.6), 0, 1)
        raise ValueError(f"there is no camera motion {self.motion!r}; there are {', '.join(UNITS)}")

    def max_offset(self, duration_s: float) -> tuple[float, float]:
        """How far the view leaves the center, horizontally and vertically, in frame heights."""
        poses = [self.pose(t, duration_s) for t in np.linspace(0, duration_s, 200)]
        slack = max(0.5 * (1 / p.zoom - 1) for p in poses) + max(abs(math.sin(p.roll)) for p in poses) * 0.5
        return max(abs(p.x) for p in poses) + slack, max(abs(p.y) for p in poses) + slack


def _hand_shake(time_s: float, axis: int) -> float:
    """Shake of a hand, root mean square about 1: the sum of four sines with unrelated periods."""
    waves = (
        ((1.3, 0.9), (2.9, 0.8), (4.7, 0.6), (7.1, 0.4))
        if axis == 0
        else ((1.1, 0.9), (3.3, 0.8), (5.3, 0.6), (6.1, 0.4))
    )
    return sum(size * math.sin(2 * math.pi * hz * time_s + 1.7 * hz) for hz, size in waves)
