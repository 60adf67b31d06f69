"""Finds objects of a known color in the frames of a video."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.metrics.world.matches import Frames

Array = npt.NDArray[np.float64]
MAX_DISTANCE = 80.0  # of RGB, 0..255; pixels of another color have weight 0
MIN_WEIGHT_PX = 1.0  # sum of the weights of an object that is found


def find_object(frames: Frames, color: Sequence[float], max_distance: float = MAX_DISTANCE) -> Array:
    """Center in px (x, y) of what has a color, [t 2]; NaN in frames without it.

    The center is the mean of the centers of all pixels ((0.5, 0.5) is the first one), weighted by
    1 - distance / `max_distance` of their color, so that the mixed pixels of an edge count by their share.

    Args:
        frames: RGB [t h w 3].
        color: R, G, B in 0..255.
        max_distance: Euclidean distance of colors at which the weight is 0.
    """
    difference = frames.astype(np.float32) - np.asarray(color, np.float32)
    distance = np.sqrt(np.square(difference).sum(-1))
    weights = np.clip(1 - distance / max_distance, 0, None).astype(np.float64)
    total = weights.sum((1, 2))
    y, x = (np.arange(size) + 0.5 for size in frames.shape[1:3])
    found = total >= MIN_WEIGHT_PX
    safe = np.where(found, total, 1.0)
    centers = np.stack([(weights.sum(1) @ x) / safe, (weights.sum(2) @ y) / safe], -1)
    places: Array = np.where(found[:, None], centers, np.nan)
    return places


def hold_last(positions: Array, start: Array) -> Array:
    """Positions [t n] whose missing values (NaN) are the last known ones, or `start` [n] before the first."""
    held = positions.copy()
    last = np.asarray(start, np.float64)
    for number, position in enumerate(positions):
        if np.isnan(position).any():
            held[number] = last
        last = held[number]
    return held


def fit_affine(source: Array, target: Array) -> tuple[Array, float]:
    """The affine map [m 3] of points [n 2] to points [n m], and its root mean square error.

    The points are those of frames in which an object was found, and its true positions there.

    Raises:
        ValueError: Fewer than four points, or all of them on one line.
    """
    known = ~(np.isnan(source).any(1) | np.isnan(target).any(1))
    points = np.concatenate([source[known], np.ones((int(known.sum()), 1))], 1)
    if len(points) < 4 or np.linalg.matrix_rank(points, 1e-6 * np.abs(points).max()) < 3:
        raise ValueError("an object that is found in fewer than four places, or on one line, fixes no map")
    solution = np.linalg.lstsq(points, target[known], rcond=None)[0]
    error = np.sqrt(np.square(points @ solution - target[known]).sum(1).mean())
    return solution.T, float(error)


def apply_affine(matrix: Array, points: Array) -> Array:
    """The images of points [n 2] under a map [m 3], [n m]."""
    mapped: Array = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped
