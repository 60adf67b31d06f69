"""Borders: the even black bars that letterboxing and pillarboxing leave around the picture."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

BLACK = 20  # no pixel of a bar is brighter than this luma of 255


class Borders:
    """Of the frames of the strip, NaN between."""

    columns = {
        "border_top": "share of the height that is black from the top on, 1 where all is black [0..1]",
        "border_bottom": "share of the height that is black from the bottom on [0..1]",
        "border_left": "share of the width that is black from the left on [0..1]",
        "border_right": "share of the width that is black from the right on [0..1]",
    }

    def update(self, view: View) -> Sequence[float]:
        if view.still is None:
            return (math.nan,) * 4
        rows, columns = view.gray.max(axis=1) > BLACK, view.gray.max(axis=0) > BLACK
        return [_until(rows), _until(rows[::-1]), _until(columns), _until(columns[::-1])]


def _until(lit: np.ndarray) -> float:
    """The share of the lines before the first lit one."""
    first = int(lit.argmax())
    return first / lit.size if lit[first] else 1.0
