"""Colour: how colourful the stills are."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View


class Colour:
    """The measure of Hasler and Süsstrunk (2003), which they fitted to what people say of pictures.

    With rg = R - G and yb = (R + G) / 2 - B: the root of both variances, and 0.3 times the length of
    both means. 15 is "slightly", 45 "averagely", 82 "highly" colourful. NaN between stills.
    """

    columns = {"colourfulness": "spread and strength of the opponent colours [0..255]"}

    def update(self, view: View) -> Sequence[float]:
        if view.still is None:
            return (math.nan,)
        blue, green, red = view.half[::2, ::2].reshape(-1, 3).T.astype(np.float32)
        across, along = red - green, (red + green) / 2 - blue
        spread = math.sqrt(across.var() + along.var())
        return (spread + 0.3 * math.hypot(across.mean(), along.mean()),)
