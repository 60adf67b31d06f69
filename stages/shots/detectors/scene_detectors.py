"""PySceneDetect's detectors (version 0.7), on arrays of stored signals instead of frames.

Each function takes the signals of all frames [n] and returns the first frame of every new shot, as the
detector of the same name does with the same parameters. `numbers` [n] are the frame numbers at the average
frame rate: the frame index, if the rate is constant. `min_scene_len` is in the same unit.
"""

import numpy as np


def content_score(deltas: np.ndarray, weights: tuple[float, ...]) -> np.ndarray:
    """Return the weighted sum of the components [n components] over the sum of the absolute weights, [n]."""
    score: np.ndarray = deltas @ np.asarray(weights) / sum(abs(w) for w in weights)
    return score


def adaptive_ratio(score: np.ndarray, window_width: int, min_content_val: float) -> np.ndarray:
    """Return each score over the mean of the `window_width` frames on both sides, at most 255; 0 at the ends.

    If that mean is zero, the ratio is 255 for a score of at least `min_content_val`, and 0 below it.
    """
    ratio = np.zeros_like(score)
    if len(score) > 2 * window_width:
        sums = np.convolve(score, np.ones(2 * window_width + 1), "valid")
        inner = score[window_width : len(score) - window_width]
        around = (sums - inner) / (2 * window_width)
        is_zero = np.abs(around) < 1e-5
        clipped = np.minimum(inner / np.where(is_zero, 1, around), 255)
        high = np.where(inner >= min_content_val, 255, 0)
        ratio[window_width : len(score) - window_width] = np.where(is_zero, high, clipped)
    return ratio


def detect_adaptive(
    score: np.ndarray,
    numbers: np.ndarray,
    min_scene_len: int,
    *,
    threshold: float,
    min_content_val: float,
    window_width: int,
) -> list[int]:
    """Find content scores of at least `min_content_val` and of `threshold` times the frames around them."""
    high = adaptive_ratio(score, window_width, min_content_val) >= threshold
    return detect_where(high & (score >= min_content_val), numbers, min_scene_len)


def detect_content(
    score: np.ndarray, numbers: np.ndarray, min_scene_len: int, *, threshold: float
) -> list[int]:
    """Find content scores of at least `threshold`; of cuts too close to each other, the last one counts."""
    cuts: list[int] = []
    above = last = merge_start = -1  # frames: last one above the threshold; where merging began
    for frame in range(len(score)):
        over = bool(score[frame] >= threshold)
        last = frame if above < 0 else above
        is_far = min_scene_len <= 0 or numbers[frame] - numbers[last] >= min_scene_len
        above = frame if over or above < 0 else above
        if merge_start >= 0:
            if is_far and not over and numbers[above] - numbers[merge_start] >= min_scene_len:
                merge_start = -1
                cuts.append(above)
        elif over and is_far:
            cuts.append(frame)
        elif over and cuts:
            merge_start = frame
    return cuts


def detect_where(condition: np.ndarray, numbers: np.ndarray, min_scene_len: int) -> list[int]:
    """Find frames that meet a condition; skip those too close to the previous one or to the start."""
    cuts: list[int] = []
    last = 0
    for frame in np.flatnonzero(condition):
        if numbers[frame] - last >= min_scene_len:
            cuts.append(int(frame))
            last = int(numbers[frame])
    return cuts


def detect_threshold(
    average_rgb: np.ndarray, numbers: np.ndarray, min_scene_len: int, *, threshold: float
) -> list[int]:
    """Find the middle of each stretch whose average RGB value is below `threshold`."""
    dark = average_rgb < int(threshold)
    cuts: list[int] = []
    dark_start, last = 0, 0
    for frame in range(1, len(average_rgb)):
        if dark[frame] and not dark[frame - 1]:
            dark_start = frame
        elif dark[frame - 1] and not dark[frame] and numbers[frame] - last >= min_scene_len:
            middle = int(numbers[dark_start]) + round(int(numbers[frame] - numbers[dark_start]) / 2)
            cuts.append(int(np.searchsorted(numbers, middle)))
            last = int(numbers[frame])
    return cuts
