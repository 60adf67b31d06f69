"""Rewards that are computed from the pixels of a video."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from training.metrics.world.objects import find_object
from training.rewards.reward import Scores, Videos

_MIN_MSE = 1e-6  # of values in 0..1: PSNR is at most 60 dB


@dataclass(frozen=True)
class Brightness:
    """The mean of all values, 0..1: a toy that shows whether a training raises its reward."""

    needs_references: ClassVar[bool] = False

    def __call__(self, videos: Videos, references: Videos | None) -> Scores:
        return _scores(videos.mean((1, 2, 3, 4), dtype=np.float64) / 255)


@dataclass(frozen=True)
class Motion:
    """The mean absolute change from frame to frame, 0..1."""

    needs_references: ClassVar[bool] = False

    def __call__(self, videos: Videos, references: Videos | None) -> Scores:
        change = np.abs(np.diff(videos.astype(np.float32), axis=1))
        return _scores(change.mean((1, 2, 3, 4), dtype=np.float64) / 255)


@dataclass(frozen=True)
class Psnr:
    """PSNR in dB against the clip that the actions, the camera and the given frames are of.

    A verifiable reward of world models. Source: Wu et al. 2025, arXiv:2505.13934, with other metrics.
    """

    needs_references: ClassVar[bool] = True

    def __call__(self, videos: Videos, references: Videos | None) -> Scores:
        assert references is not None
        squared = np.square((videos.astype(np.float32) - references) / 255)
        mse = squared.mean((1, 2, 3, 4), dtype=np.float64)
        return _scores(-10 * np.log10(np.maximum(mse, _MIN_MSE)))


@dataclass(frozen=True)
class GoalDistance:
    """Minus the distance of an object from a goal in the last frame, in units of the longer side.

    A video whose last frame does not show the object has minus the square root of 2, more than any distance.

    Attributes:
        color: Color of the object, R, G, B in 0..255; see `training.metrics.world.objects`.
        goal: Place of the goal, x and y as shares of width and height from the upper left corner.
    """

    needs_references: ClassVar[bool] = False
    color: tuple[float, ...]
    goal: tuple[float, ...]

    def __call__(self, videos: Videos, references: Videos | None) -> Scores:
        height, width = videos.shape[2:4]
        places = find_object(videos[:, -1], self.color)  # [n 2] in px
        goal = np.array(self.goal) * (width, height)
        distances = np.linalg.norm(places - goal, axis=1) / max(width, height)
        return _scores(np.where(np.isnan(distances), -math.sqrt(2), -distances))


def _scores(values: Scores) -> Scores:
    return np.asarray(values, np.float64)
