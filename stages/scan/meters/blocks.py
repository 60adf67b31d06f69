"""Compression: the steps of luma at the borders of codec blocks, and the quantizer step of the codec."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

BLOCK = 8  # px: the grid of JPEG and MPEG, and of the deblocking filters of H.264, HEVC, VP9 and AV1
MAX_PX = 40_000  # pixels measured in each direction; larger frames are subsampled
MAX_STEP = 12  # luma; larger steps belong to the content and are clipped to this value


class Blocks:
    """Blockiness: the luma step across the borders of the block grid, minus the step half a block away.

    Strong quantization leaves flat blocks that do not match at their borders; deblocking spreads the steps
    over a few pixels without removing them. Steps of the content itself are equally frequent at both places.
    The median border counts, because one border may be the edge of a black bar. The value is the mean of both
    directions. It is blind to blocks that were scaled or shifted after they were coded. A good encoder leaves
    few such steps at any bit rate, but the decoder reports the quantizer step of H.264, MPEG-4, MPEG-2 and
    VP9, and the packets of Motion JPEG hold it.
    NaN between stills.
    """

    columns = {
        "blockiness": "luma step at block borders, minus the step in the middle of blocks [0..255]",
        "quantizer_step": "quantizer step of the codec; NaN if the decoder does not report it [0..255]",
    }

    def update(self, view: FrameView) -> Sequence[float]:
        if view.still is None:
            return (math.nan, math.nan)
        small, step = min(view.luma.shape) < 2 * BLOCK, view.frame.quantizer_step
        return (math.nan if small else (_horizontal(view.luma) + _vertical(view.luma)) / 2, step)


def _horizontal(luma: np.ndarray) -> float:
    """Return the blockiness across vertical borders."""
    import cv2

    lines = luma[:: max(1, round(luma.size / MAX_PX))]
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    sums = _clipped_sums(steps, 0)
    at_borders, between = (sums[k - 1 :: BLOCK] for k in (BLOCK, BLOCK // 2))
    return float(np.median(at_borders) - np.median(between)) / len(lines)


def _vertical(luma: np.ndarray) -> float:
    """Return the blockiness across horizontal borders."""
    import cv2

    stride = BLOCK * max(1, round(luma.size / BLOCK / MAX_PX))

    def step(above: int) -> float:
        """Return the median, over pairs of lines, of the summed steps from line `above` to the next."""
        return float(
            np.median(_clipped_sums(cv2.absdiff(luma[above:-1:stride], luma[above + 1 :: stride]), 1))
        )

    width: int = luma.shape[1]
    return (step(BLOCK - 1) - step(BLOCK // 2 - 1)) / width


def _clipped_sums(steps: np.ndarray, axis: int) -> np.ndarray:
    import cv2

    clipped = cv2.threshold(steps, MAX_STEP, 0, cv2.THRESH_TRUNC)[1]
    total: np.ndarray = cv2.reduce(clipped, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return total.ravel()
