"""Light: how bright a frame is, how far its tones spread, and how much of it is clipped."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

DARKEST, BRIGHTEST = 8, 247  # luma at or beyond which a pixel counts as clipped

_LUMA = np.arange(256) / 255


class Light:
    columns = {
        "light_mean": "mean luma [0..1]",
        "light_spread": "standard deviation of luma [0..1]",
        "clipped_dark": "share of pixels with luma at most 8 of 255 [0..1]",
        "clipped_bright": "share of pixels with luma at least 247 of 255 [0..1]",
    }

    def update(self, view: View) -> Sequence[float]:
        import cv2

        shares = cv2.calcHist([view.gray], [0], None, [256], [0, 256]).ravel().astype(float) / view.gray.size
        mean = float(shares @ _LUMA)
        spread = float(shares @ (_LUMA - mean) ** 2) ** 0.5
        return mean, spread, float(shares[: DARKEST + 1].sum()), float(shares[BRIGHTEST:].sum())
