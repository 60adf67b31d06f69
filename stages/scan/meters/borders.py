"""Borders: the black bars that letterboxing and pillarboxing leave around the content."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

BLACK = 20  # maximum luma of a pixel of a black bar, of 255


class Borders:
    """Widths of the black bars on the four sides; NaN between stills."""

    columns = {
        "border_top": "black share of the height, from the top; 1 if the whole frame is black [0..1]",
        "border_bottom": "black share of the height, from the bottom [0..1]",
        "border_left": "black share of the width, from the left [0..1]",
        "border_right": "black share of the width, from the right [0..1]",
    }

    def update(self, view: FrameView) -> Sequence[float]:
        if view.still is None:
            return (math.nan,) * 4
        rows, columns = view.gray.max(axis=1) > BLACK, view.gray.max(axis=0) > BLACK
        return [
            _black_share(rows),
            _black_share(rows[::-1]),
            _black_share(columns),
            _black_share(columns[::-1]),
        ]


def _black_share(lit: np.ndarray) -> float:
    """Return the share of the lines before the first lit line."""
    first = int(lit.argmax())
    return first / lit.size if lit[first] else 1.0
