"""Finds frames that repeat the frame before, although coding changes them a little."""

import numpy as np
import numpy.typing as npt

# Limits of the change when a codec codes a still image again, as a key frame does:
REFRESH_MAX_TIMES = 4  # times `max_change`, for the pixel that changes most
REFRESH_MEAN = 1.0  # mean over the pixels
REST_FRAMES = 3  # frames without change that a refreshed frame needs before and after it
DOUBLED_SHARE = 0.2  # change of a doubled frame, at most, as a share of the smaller neighboring change


def find_repeated(
    change_max: npt.NDArray[np.floating], change_mean: npt.NDArray[np.floating], max_change: float
) -> npt.NDArray[np.bool_]:
    """Return for each frame of a clip except the first whether it repeats the frame before.

    A frame is a repeat in one of three cases:

    - No pixel changed by more than `max_change`.
    - The frame as a whole changed at most a fifth as much as the frames before and after it. So does a
      doubled frame that the codec coded again.
    - The frame changed little, with three unchanged frames before and after it. So does a key frame in a
      still image.

    Args:
        change_max: Change to the frame before, of the pixel that changes most, in levels of 0 to 255. The
            first value is not used.
        change_mean: Mean change of the pixels, in levels of 0 to 255.
        max_change: Change of a pixel, in levels of 0 to 255, up to which it counts as equal.
    """
    change = change_mean[1:].astype(float)
    neighbors = np.full(len(change), -1.0)
    neighbors[1:-1] = np.minimum(change[:-2], change[2:])
    same: npt.NDArray[np.bool_] = (change_max[1:] <= max_change) | (change <= DOUBLED_SHARE * neighbors)
    counts = np.cumsum(np.concatenate([np.zeros(REST_FRAMES + 1, int), same, np.zeros(REST_FRAMES, int)]))
    at = np.arange(len(same)) + REST_FRAMES + 1  # position of each frame in `counts`
    rests_before = counts[at - 1] - counts[at - 1 - REST_FRAMES] == REST_FRAMES
    rests_after = counts[at + REST_FRAMES] - counts[at] == REST_FRAMES
    is_small = (change_max[1:] <= REFRESH_MAX_TIMES * max_change) & (change <= REFRESH_MEAN)
    repeats: npt.NDArray[np.bool_] = same | (rests_before & rests_after & is_small)
    return repeats
