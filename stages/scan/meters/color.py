"""Colorfulness of the stills."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView


class Color:
    """The colorfulness of Hasler and Süsstrunk (2003), fitted to human ratings of images.

    With rg = R - G and yb = (R + G) / 2 - B:
    sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)² + mean(yb)²). 15 is slightly, 45 averagely and 82 highly
    colorful. NaN between stills.
    """

    columns = {"colorfulness": "spread and strength of the opponent colors [0..255]"}

    def update(self, view: FrameView) -> Sequence[float]:
        if view.still is None:
            return (math.nan,)
        blue, green, red = view.half_bgr[::2, ::2].reshape(-1, 3).T.astype(np.float32)
        rg, yb = red - green, (red + green) / 2 - blue
        spread = math.sqrt(rg.var() + yb.var())
        return (spread + 0.3 * math.hypot(rg.mean(), yb.mean()),)
