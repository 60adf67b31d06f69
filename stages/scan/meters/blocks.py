"""Blocks: how coarsely the picture was coded, by what the codec tells and by the borders of its blocks."""

import math
from collections.abc import Sequence

import numpy as np

from stages.media.quantizer import step_of
from stages.scan.meter import View

BLOCK = 8  # px: the grid of JPEG and MPEG, and of the deblocking of H.264, HEVC, VP9 and AV1
MOST_PX = 40_000  # looked at in each direction
EDGE = 12  # luma; a higher step counts as this much, as it belongs to the picture


class Blocks:
    """Blockiness is the step of luma across the borders of the grid, less the step half a block from them.

    What a codec throws away leaves flat blocks that do not meet; deblocking spreads the steps over a few
    pixels without taking them away. The picture's own steps fall on both places alike; of the borders the
    middle one counts, as the edge of a black bar may be one. Blind to what was scaled or shifted after it
    was coded. The mean of both directions. A good encoder leaves few such steps at any rate; but H.264 and
    MPEG-4 and -2 tell what they rounded to. NaN between stills.
    """

    columns = {
        "blockiness": "step of luma at the borders of blocks, beyond that in their middle [0..255]",
        "quantiser_step": "step to which the codec rounded, where the decoder tells it [0..255]",
    }

    def update(self, view: View) -> Sequence[float]:
        if view.still is None:
            return (math.nan, math.nan)
        small, step = min(view.luma.shape) < 2 * BLOCK, step_of(view.coded.raw)
        return (math.nan if small else (_across(view.luma) + _down(view.luma)) / 2, step)


def _across(luma: np.ndarray) -> float:
    import cv2

    lines = luma[:: max(1, round(luma.size / MOST_PX))]
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    sums = _sums(steps, 0)
    at_borders, between = (sums[k - 1 :: BLOCK] for k in (BLOCK, BLOCK // 2))
    return float(np.median(at_borders) - np.median(between)) / len(lines)


def _down(luma: np.ndarray) -> float:
    import cv2

    apart = BLOCK * max(1, round(luma.size / BLOCK / MOST_PX))

    def step(above: int) -> float:
        """The sum of steps from one line to the next; the middle one of all such pairs of lines."""
        return float(np.median(_sums(cv2.absdiff(luma[above:-1:apart], luma[above + 1 :: apart]), 1)))

    return (step(BLOCK - 1) - step(BLOCK // 2 - 1)) / luma.shape[1]


def _sums(steps: np.ndarray, axis: int) -> np.ndarray:
    import cv2

    kept = cv2.threshold(steps, EDGE, 0, cv2.THRESH_TRUNC)[1]
    total: np.ndarray = cv2.reduce(kept, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return total.ravel()
