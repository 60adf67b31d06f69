"""The path of the view through a clip: how much of it is shake, and how large its largest sudden move is."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RATE = 24  # samples per s of the path
SMOOTHING_S = 0.13  # standard deviation of the Gaussian that smooths the path; it halves 1.5 Hz
WINDOW = RATE // 2  # samples in a window over which shake and jitter are measured
JUMP_WINDOW = RATE // 4  # samples over which a sudden move is measured

Array = npt.NDArray[np.float64]


class CameraPath(NamedTuple):
    """Measures of a path. Lengths are in units of the longer side of the image.

    Attributes:
        shake: Root mean square distance to the smoothed path, in the median window of half a second.
        jitter: The same for the speed, in 1/s.
        jump: Longest distance covered in a quarter of a second.
        usual_jump: Median distance covered in a quarter of a second.
    """

    shake: float
    jitter: float
    jump: float
    usual_jump: float

    def limit(self, max_shake: float, max_jump: float) -> "CameraPath":
        """Return the path with shake, jitter and jump reduced to these upper bounds."""
        share = min(1.0, max_shake / self.shake) if self.shake > 0 else 1.0
        return CameraPath(self.shake * share, self.jitter * share, min(self.jump, max_jump), self.usual_jump)


def measure_path(
    times_s: npt.NDArray[np.floating], right: npt.NDArray[np.floating], up: npt.NDArray[np.floating]
) -> CameraPath:
    """Measure the path of a clip from the shifts between its frames.

    Doubled frames and unknown shifts (NaN) have no effect, because the path is averaged over two samples.

    Args:
        times_s: Times of the frames in s.
        right, up: Shift of the view from the frame before, in longer sides. The first value is not used.
    """
    shifts = np.nan_to_num(np.stack([right, up], axis=1).astype(float))
    if len(shifts) < 3 or times_s[-1] - times_s[0] < 3 / RATE:
        return CameraPath(0.0, 0.0, 0.0, 0.0)
    shifts[0] = 0
    positions = np.cumsum(shifts, axis=0)
    samples_s = np.arange(times_s[0], times_s[-1] + 1e-9, 1 / RATE)
    path = np.stack([np.interp(samples_s, times_s, axis) for axis in positions.T], axis=1)
    path = (path[1:] + path[:-1]) / 2
    deviation = path - _smooth(path)
    span = min(JUMP_WINDOW, len(path) - 1)
    jumps = np.hypot(*(path[span:] - path[:-span]).T)
    return CameraPath(
        shake=_median_rms(deviation),
        jitter=_median_rms(np.diff(deviation, axis=0) * RATE),
        jump=float(jumps.max()),
        usual_jump=float(np.median(jumps)),
    )


def _smooth(path: Array) -> Array:
    """Smooth the path with a Gaussian. Each end is extended point-symmetrically, so a straight path stays."""
    reach = min(round(3 * SMOOTHING_S * RATE), len(path) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (SMOOTHING_S * RATE)) ** 2)
    kernel /= kernel.sum()
    before, after = 2 * path[0] - path[reach:0:-1], 2 * path[-1] - path[-2 : -reach - 2 : -1]
    extended = np.concatenate([before, path, after])
    return np.stack([np.convolve(axis, kernel, "valid") for axis in extended.T], axis=1)


def _median_rms(values: Array) -> float:
    """Return the root mean square length in the median window."""
    squares = (values**2).sum(axis=1)
    windows = np.array_split(squares, max(1, len(squares) // WINDOW))
    return float(np.sqrt(np.median([window.mean() for window in windows])))
