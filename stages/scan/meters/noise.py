"""Noise: how luma differs from pixel to pixel where the picture is flat, and again from frame to frame."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

BLOCK = 8  # px, across and down, of the blocks that are told flat from textured
MOST_PX = 30_000  # looked at; of larger frames, bands of a block's height at even distances
FLATTEST = 0.2  # share of the blocks that is taken for flat: few pictures have less
DARK, BRIGHT = 24, 228  # mean luma of blocks beyond which noise is cut off, as coded: black is 16, white 235
GAIN = 2  # steps of the mask's answer to a luma level; 8 bits are enough for noise of sigma 26
PER_SIGMA = GAIN * 6 * math.sqrt(2 / math.pi)  # mean size of the answer to Gaussian noise of sigma 1
PATIENCE = 3  # frames after a still that may repeat it


class Noise:
    """Immerkaer's mask (1996), the second difference across of that down, in blocks of the coded picture.

    It answers to no slope and to no straight edge that lies across or down. Texture answers as noise does,
    but is there again in the next frame, unless it moves: a block counts as what it answers, or as what
    its answer changed by from the frame before, whichever is less. Of the fifth of the blocks that comes to
    least, the strongest is given. Said of the first frame after a still that does not repeat it; else NaN.
    """

    columns = {"noise": "standard deviation of luma from pixel to pixel in the flattest fifth [0..255]"}

    def __init__(self) -> None:
        self._before: np.ndarray | None = None  # the mask's answer to the still
        self._patience = 0

    def update(self, view: View) -> Sequence[float]:
        import cv2

        if view.still is None and not self._patience:
            return (math.nan,)
        bands = _bands(view.luma)
        count, width = bands.shape[0] // (BLOCK + 2), bands.shape[1] // BLOCK * BLOCK
        if not count or not width:
            return (math.nan,)
        now, before = cv2.Sobel(bands, cv2.CV_16S, 2, 2, ksize=3), self._before
        told = math.nan
        if self._patience and before is not None and before.shape == now.shape:
            self._patience -= 1
            changed = cv2.absdiff(now, before)
            if not self._patience or cv2.countNonZero(changed) * 100 > changed.size:
                there = _means(cv2.convertScaleAbs(now, alpha=GAIN), count, width)
                anew = _means(cv2.convertScaleAbs(changed, alpha=GAIN / math.sqrt(2)), count, width)
                told = _least(np.minimum(there, anew), _means(bands, count, width))
                self._patience = 0
        if view.still is not None:
            self._before, self._patience = now, PATIENCE
        return (told,)


def _least(noise: np.ndarray, light: np.ndarray) -> float:
    """The standard deviation that most blocks of the flattest fifth stay below."""
    told = noise[(light >= DARK) & (light <= BRIGHT)]
    told = told if told.size * 20 >= noise.size else noise
    place = int(told.size * FLATTEST)
    return float(np.partition(told, place)[place]) / PER_SIGMA


def _bands(luma: np.ndarray) -> np.ndarray:
    """Bands of a block's height and a line more above and below, one after the other; uint8 [n w]."""
    height, width = luma.shape
    if height < BLOCK + 2:
        return luma[:0]
    apart = (BLOCK + 2) * max(1, round(luma.size / MOST_PX))
    count = height // apart
    if not count:  # lower than the bands are apart
        count, apart = 1, height
    return luma[: count * apart].reshape(count, -1, width)[:, : BLOCK + 2].reshape(-1, width)


def _means(lines: np.ndarray, count: int, width: int) -> np.ndarray:
    """The mean of each block of the bands, by halving three times."""
    import cv2

    blocks = np.ascontiguousarray(lines.reshape(count, BLOCK + 2, -1)[:, 1:-1, :width]).reshape(-1, width)
    for _ in range(3):
        blocks = cv2.resize(blocks, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return blocks.ravel()
