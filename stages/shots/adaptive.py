"""PySceneDetect's adaptive detector, over arrays of stored signals instead of frames."""

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


def adaptive_cuts(
    score: np.ndarray, numbers: np.ndarray, *, threshold: float, floor: float, window: int, apart: int
) -> list[int]:
    """The first frame of each new shot, as `AdaptiveDetector` of PySceneDetect 0.7 finds them.

    Args:
        score: content score of each frame.
        numbers: each frame's number at the average rate: its index, where the rate is constant.
        threshold: ratio to the frames around it that a cut must reach.
        floor: score that a cut must reach.
        window: frames on each side that the ratio looks at.
        apart: frame numbers that must lie between two cuts, and before the first.
    """
    met = (adaptive_ratio(score, window, floor) >= threshold) & (score >= floor)
    cuts: list[int] = []
    last = 0
    for frame in np.flatnonzero(met):
        if numbers[frame] - last >= apart:
            cuts.append(int(frame))
            last = int(numbers[frame])
    return cuts
