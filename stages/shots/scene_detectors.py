"""PySceneDetect's detectors (version 0.7), over arrays of stored signals instead of frames.

Each takes signals of all frames and gives the first frame of every new shot, as the detector of the same
name does at the same settings. `numbers` are the frames' numbers at the average rate: their index, where
the rate is constant; `apart` is the least length of a scene in such numbers.
"""

import numpy as np


def content_score(deltas: np.ndarray, weights: tuple[float, ...]) -> np.ndarray:
    """The weighted mean of the content components [frames components], by the sum of the weights' sizes."""
    scaled: np.ndarray = deltas @ np.asarray(weights) / sum(abs(w) for w in weights)
    return scaled


def adaptive_ratio(score: np.ndarray, window: int, floor: float) -> np.ndarray:
    """Each frame's score over the mean of the `window` frames on both sides, at most 255; 0 near the ends.

    Where that mean is zero the ratio is 255 for a score of at least `floor`, and 0 below it.
    """
    ratio = np.zeros_like(score)
    if len(score) > 2 * window:
        sums = np.convolve(score, np.ones(2 * window + 1), "valid")
        inner = score[window : len(score) - window]
        around = (sums - inner) / (2 * window)
        silent = np.abs(around) < 1e-5
        found = np.minimum(inner / np.where(silent, 1, around), 255)
        ratio[window : len(score) - window] = np.where(silent, np.where(inner >= floor, 255, 0), found)
    return ratio


def adaptive(
    score: np.ndarray, numbers: np.ndarray, apart: int, *, threshold: float, floor: float, window: int
) -> list[int]:
    """Where the content score reaches `floor`, and `threshold` times that of the `window` frames around."""
    met = (adaptive_ratio(score, window, floor) >= threshold) & (score >= floor)
    return spaced(met, numbers, apart)


def content(score: np.ndarray, numbers: np.ndarray, apart: int, *, threshold: float) -> list[int]:
    """Where the content score reaches `threshold`; of cuts too close to each other the last counts."""
    cuts: list[int] = []
    above = last = merging = -1  # frames: last above the threshold; where merging began
    for frame in range(len(score)):
        over = bool(score[frame] >= threshold)
        last = frame if above < 0 else above
        far = apart <= 0 or numbers[frame] - numbers[last] >= apart
        above = frame if over or above < 0 else above
        if merging >= 0:
            if far and not over and numbers[above] - numbers[merging] >= apart:
                merging = -1
                cuts.append(above)
        elif over and far:
            cuts.append(frame)
        elif over and cuts:
            merging = frame
    return cuts


def spaced(met: np.ndarray, numbers: np.ndarray, apart: int) -> list[int]:
    """The frames that meet a condition, without those too close to the one before, or to the start."""
    cuts: list[int] = []
    last = 0
    for frame in np.flatnonzero(met):
        if numbers[frame] - last >= apart:
            cuts.append(int(frame))
            last = int(numbers[frame])
    return cuts


def fades(level: np.ndarray, numbers: np.ndarray, apart: int, *, threshold: float) -> list[int]:
    """In the middle of each stretch whose mean level is below `threshold`."""
    dark = level < int(threshold)
    cuts: list[int] = []
    gone, last = 0, 0
    for frame in range(1, len(level)):
        if dark[frame] and not dark[frame - 1]:
            gone = frame
        elif dark[frame - 1] and not dark[frame] and numbers[frame] - last >= apart:
            middle = int(numbers[gone]) + round(int(numbers[frame] - numbers[gone]) / 2)
            cuts.append(int(np.searchsorted(numbers, middle)))
            last = int(numbers[frame])
    return cuts
