"""Finds frames that repeat the frame before, although coding changes them a little."""

import numpy as np
import numpy.typing as npt

# Limits of the change when a codec codes a still image again, as a key frame does:
REFRESH_MAX_TIMES = 4  # times `max_change`, for the pixel that changes most
REFRESH_MEAN = 1.0  # mean over the pixels
REST_FRAMES = 3  # frames without change that a refreshed frame needs before and after it
REPEAT_SHARE = 0.2  # change of a repeated frame, at most, as a share of the changes around it
REPEAT_FRAMES = 3  # frames before and after a repeated frame that are searched for a change
MAX_CADENCE_S = 0.5  # images that follow each other at least this fast are motion of a low frame rate

Floats = npt.NDArray[np.floating]


def find_repeated(change_max: Floats, change_mean: Floats, max_change: float) -> npt.NDArray[np.bool_]:
    """Return for each frame of a clip except the first whether it repeats the frame before.

    A frame is a repeat in one of three cases:

    - No pixel changed by more than `max_change`.
    - The frame as a whole changed at most a fifth as much as one of the three frames before and one of the
      three frames after it. So does a repeated frame that the codec coded again, in any pattern of up to
      four equal frames.
    - The frame changed little, with three unchanged frames before and after it. So does a key frame in a
      still image.

    Args:
        change_max: Change to the frame before, of the pixel that changes most, in levels of 0 to 255. The
            first value is not used.
        change_mean: Mean change of the pixels, in levels of 0 to 255.
        max_change: Change of a pixel, in levels of 0 to 255, up to which it counts as equal.
    """
    change = change_mean[1:].astype(float)
    if not change.size:
        return np.zeros(0, bool)
    padded = np.concatenate([np.full(REPEAT_FRAMES, -1.0), change, np.full(REPEAT_FRAMES, -1.0)])
    largest = np.lib.stride_tricks.sliding_window_view(padded, REPEAT_FRAMES).max(axis=1)
    around = np.minimum(largest[: change.size], largest[REPEAT_FRAMES + 1 :])
    same: npt.NDArray[np.bool_] = (change_max[1:] <= max_change) | (change <= REPEAT_SHARE * around)
    counts = np.cumsum(np.concatenate([np.zeros(REST_FRAMES + 1, int), same, np.zeros(REST_FRAMES, int)]))
    at = np.arange(len(same)) + REST_FRAMES + 1  # position of each frame in `counts`
    rests_before = counts[at - 1] - counts[at - 1 - REST_FRAMES] == REST_FRAMES
    rests_after = counts[at + REST_FRAMES] - counts[at] == REST_FRAMES
    is_small = (change_max[1:] <= REFRESH_MAX_TIMES * max_change) & (change <= REFRESH_MEAN)
    repeats: npt.NDArray[np.bool_] = same | (rests_before & rests_after & is_small)
    return repeats


def find_images(
    times_s: Floats, end_s: float, repeats: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the first frame of each image of a clip, and how long the image is shown, in s.

    An image is a frame with the frames that repeat it. It is shown until the next image starts, so pauses
    between frames count as well as repeated frames.

    Args:
        times_s: Times of the frames in s.
        end_s: End of the last frame in s.
        repeats: Result of `find_repeated`.
    """
    first = np.concatenate([[0], np.flatnonzero(~repeats) + 1])
    return first, np.diff(np.append(times_s[first], end_s))


def min_rest_s(shown_s: Floats, minimum_s: float) -> float:
    """Return from which time on an image rests: `minimum_s`, or twice the usual time if the rate is low."""
    return max(minimum_s, 2 * min(MAX_CADENCE_S, float(np.median(shown_s))) + 1e-3)
