"""The path of the view through a clip: how much of it is shake, and how large its largest sudden move is."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RATE = 24  # samples per s of the path
MAX_HOLD_S = 1.0  # as in stages/scan/meters/motion.py: an image that is shown longer rests
SMOOTHING_S = 0.08  # standard deviation of the Gaussian that smooths the path; it halves 2.3 Hz
STEADY_SPEED = 0.06  # in 1/s; jitter is compared with the speed of the view and this, so slow tremor is none
WINDOW = RATE // 2  # samples in a window over which shake and jitter are measured
JUMP_WINDOW = RATE // 4  # samples over which a sudden move is measured

Array = npt.NDArray[np.float64]


class CameraPath(NamedTuple):
    """Measures of a path. Lengths are in units of the longer side of the image.

    Attributes:
        shake: Root mean square distance to the smoothed path, in the median window of half a second.
        jitter: Share of the speed of the view that the smoothed path does not have, 0 to 1.
        jump: Longest distance covered in a quarter of a second.
        usual_jump: Median distance covered in a quarter of a second.
    """

    shake: float
    jitter: float
    jump: float
    usual_jump: float

    def limit(self, share: float, max_jump: float) -> "CameraPath":
        """Return the path with all but the usual jump reduced to a share, and the jump to an upper bound."""
        jump = min(share * self.jump, max_jump)
        return CameraPath(share * self.shake, share * self.jitter, jump, self.usual_jump)


def measure_path(times_s: Array, positions: Array) -> CameraPath:
    """Measure the path of a clip.

    Args:
        times_s: Times of the positions in s, as `find_positions` returns them.
        positions: Position of the view, to the right and up, float64 [n 2].
    """
    if len(times_s) < 3 or times_s[-1] - times_s[0] < 3 / RATE:
        return CameraPath(0.0, 0.0, 0.0, 0.0)
    samples_s = np.arange(times_s[0], times_s[-1] + 1e-9, 1 / RATE)
    path = np.stack([np.interp(samples_s, times_s, axis) for axis in positions.T], axis=1)
    path = (path[1:] + path[:-1]) / 2
    deviation = path - _smooth(path)
    jitter = _median_rms(np.diff(deviation, axis=0) * RATE)
    span = min(JUMP_WINDOW, len(path) - 1)
    jumps = np.hypot(*(path[span:] - path[:-span]).T)
    return CameraPath(
        shake=_median_rms(deviation),
        jitter=min(1.0, jitter / (_median_rms(np.diff(path, axis=0) * RATE) + STEADY_SPEED)),
        jump=float(jumps.max()),
        usual_jump=float(np.median(jumps)),
    )


def find_positions(
    times_s: npt.NDArray[np.floating],
    right: npt.NDArray[np.floating],
    up: npt.NDArray[np.floating],
    repeats: npt.NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Return times and positions of the view, from the shifts between frames.

    Between two images, the view moves evenly. Repeated frames are left out, because they would let the view
    move by steps; but while one image is shown for more than `MAX_HOLD_S`, the view rests. Unknown shifts
    (NaN) have no effect.

    Args:
        times_s: Times of the frames in s.
        right, up: Shift of the view from the frame before, in longer sides. The first value is not used.
        repeats: For each frame except the first, whether it repeats the frame before.

    Returns:
        Times in s, float64 [n], and positions to the right and up in longer sides, float64 [n 2].
    """
    shifts = np.nan_to_num(np.stack([right, up], axis=1).astype(float))
    shifts[0] = 0
    positions = np.cumsum(shifts, axis=0)
    first = np.concatenate([[0], np.flatnonzero(~repeats) + 1])
    kept = np.zeros(len(times_s), bool)
    kept[first] = kept[-1] = True
    for start, end in zip(first, np.append(first[1:], len(times_s)), strict=True):
        if times_s[end - 1] - times_s[start] > MAX_HOLD_S:
            kept[start:end] = True
    times, positions = times_s[kept].astype(float), positions[kept]
    gaps = np.flatnonzero(np.diff(times) > MAX_HOLD_S)
    times = np.insert(times, gaps + 1, times[gaps + 1] - 1 / RATE)
    return times, np.insert(positions, gaps + 1, positions[gaps], axis=0)


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
