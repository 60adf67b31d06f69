"""Where the camera stands and how it turns, from the first moment of a shot to the last."""

import math
from dataclasses import dataclass

import numpy as np

UNITS = {
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
    """One moment: the middle of the view (frame heights, right and down), enlargement, turn in radians.

    `depth` says how much of a layer's nearness counts: 0 for a camera that only turns, 1 for one that moves.
    """

    x: float
    y: float
    zoom: float
    roll: float
    depth: float


@dataclass(frozen=True)
class Camera:
    """A motion by name, and its amount in the unit that `UNITS` gives."""

    motion: str = "fixed"
    amount: float = 0.0

    def pose(self, time_s: float, duration_s: float) -> Pose:
        """The pose at that time of a shot; midway, the middle of the world is seen."""
        way = self.amount * (time_s - duration_s / 2)
        match self.motion:
            case "fixed":
                return Pose(0, 0, 1, 0, 0)
            case "pan":
                return Pose(way, 0, 1, 0, 0.12)
            case "tilt":
                return Pose(0, way, 1, 0, 0.12)
            case "zoom":
                return Pose(0, 0, math.exp(way) * 1.12, 0, 0.05)
            case "roll":
                return Pose(0, 0, 1.15, math.radians(way), 0)
            case "shake":
                return Pose(self.amount * _sway(time_s, 0), self.amount * _sway(time_s, 1), 1.05, 0, 0.1)
            case "travel":
                return Pose(way, 0, 1, 0, 1)
            case "wander":
                turn = 2 * math.pi * time_s / 23
                x = self.amount * 23 / (2 * math.pi) * math.sin(turn)
                return Pose(x, 0.1 * math.sin(turn * 1.7), 1.1 + 0.1 * math.sin(turn * 0.6), 0, 1)
        raise ValueError(f"no camera motion is called {self.motion!r}; there are {', '.join(UNITS)}")

    def reach(self, duration_s: float) -> tuple[float, float]:
        """How far the view leaves the middle, to each side and up or down, in frame heights."""
        poses = [self.pose(t, duration_s) for t in np.linspace(0, duration_s, 200)]
        slack = max(0.5 * (1 / p.zoom - 1) for p in poses) + max(abs(math.sin(p.roll)) for p in poses) * 0.5
        return max(abs(p.x) for p in poses) + slack, max(abs(p.y) for p in poses) + slack


def _sway(time_s: float, axis: int) -> float:
    """A hand's unrest, root mean square about 1: four sines whose periods share no rhythm."""
    beats = (
        ((1.3, 0.9), (2.9, 0.8), (4.7, 0.6), (7.1, 0.4))
        if axis == 0
        else ((1.1, 0.9), (3.3, 0.8), (5.3, 0.6), (6.1, 0.4))
    )
    return sum(size * math.sin(2 * math.pi * beat * time_s + 1.7 * beat) for beat, size in beats)
