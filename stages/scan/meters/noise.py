"""Noise: how much the luma of neighbouring pixels differs where the picture is flat."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

BLOCK = 8  # px, across and down, of the blocks that are told flat from textured
MOST_PX = 40_000  # looked at; of larger frames, bands of a block's height at even distances
FLATTEST = 0.2  # share of the blocks that is taken for flat: few pictures have less
DARK, BRIGHT = 24, 228  # mean luma of blocks beyond which noise is cut off, as coded: black is 16, white 235
GAIN = 2  # steps of the mask's answer to a luma level; 8 bits are enough for noise of sigma 26
PER_SIGMA = GAIN * 6 * math.sqrt(2 / math.pi)  # mean size of the answer to Gaussian noise of sigma 1


class Noise:
    """Immerkaer's mask (1996), the second difference across of that down, in blocks of the coded picture.

    It answers to no slope and to no straight edge that lies across or down. Texture answers as noise does,
    so the fifth of the blocks that answers least is asked for its strongest answer. NaN between stills.
    """

    columns = {"noise": "standard deviation of luma from pixel to pixel in the flattest fifth [0..255]"}

    def update(self, view: View) -> Sequence[float]:
        import cv2

        if view.still is None:
            return (math.nan,)
        bands = _bands(view.luma)
        count, width = bands.shape[0] // (BLOCK + 2), bands.shape[1] // BLOCK * BLOCK
        if not count or not width:
            return (math.nan,)
        answer = cv2.convertScaleAbs(cv2.Sobel(bands, cv2.CV_16S, 2, 2, ksize=3), alpha=GAIN)
        noise, light = (_means(lines, count, width) for lines in (answer, bands))
        told = noise[(light >= DARK) & (light <= BRIGHT)]
        told = told if told.size * 20 >= noise.size else noise
        return (float(np.partition(told, int(told.size * FLATTEST))[int(told.size * FLATTEST)]) / PER_SIGMA,)


def _bands(luma: np.ndarray) -> np.ndarray:
    """Bands of a block's height and a line more above and below, one after the other; uint8 [n w]."""
    height, width = luma.shape
    apart = (BLOCK + 2) * max(1, round(luma.size / MOST_PX))
    count = height // apart
    if not count:  # lower than the bands are apart
        count, apart = min(1, height // (BLOCK + 2)), height
    return luma[: count * apart].reshape(count, -1, width)[:, : BLOCK + 2].reshape(-1, width)


def _means(lines: np.ndarray, count: int, width: int) -> np.ndarray:
    """The mean of each block of the bands, by halving three times."""
    import cv2

    blocks = np.ascontiguousarray(lines.reshape(count, BLOCK + 2, -1)[:, 1:-1, :width]).reshape(-1, width)
    for _ in range(3):
        blocks = cv2.resize(blocks, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return blocks.ravel()
