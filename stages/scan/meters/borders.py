"""Borders: the black bars that letterboxing and pillarboxing leave around the content."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

BLACK = 20  # maximum luma of a pixel of a black bar, of 255
SPECKS = 0.01  # share of a black line that noise may light
MAX_CAPTION = 0.4  # share of a line of a bar that text or a logo lights, at most
MIN_EDGE = 0.3  # by how much the lit share rises where the content begins


class Borders:
    """Widths of the black bars on the four sides, even with a caption or a logo in them; NaN between stills.

    A bar begins with a black line. It ends where most of the next line is lit at once, or else at its last
    black line: text ends before the content does.
    """

    columns = {
        "border_top": "black share of the height, from the top; 1 if the whole frame is black [0..1]",
        "border_bottom": "black share of the height, from the bottom [0..1]",
        "border_left": "black share of the width, from the left [0..1]",
        "border_right": "black share of the width, from the right [0..1]",
    }

    def update(self, view: FrameView) -> Sequence[float]:
        if view.still is None:
            return (math.nan,) * 4
        lit = view.gray > BLACK
        rows, columns = lit.mean(axis=1), lit.mean(axis=0)
        return [_border(rows), _border(rows[::-1]), _border(columns), _border(columns[::-1])]


def _border(lit: np.ndarray) -> float:
    """Return the width of a bar as a share, from the lit share of each line, counted from the side."""
    if lit[0] > SPECKS:
        return 0.0
    content = np.flatnonzero(lit > MAX_CAPTION)
    end = int(content[0]) if content.size else lit.size
    if end == lit.size or lit[end] - lit[end - 1] < MIN_EDGE:
        end = int(np.flatnonzero(lit[:end] <= SPECKS)[-1]) + 1
    return end / lit.size
