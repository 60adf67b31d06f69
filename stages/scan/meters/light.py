"""Light: how bright a frame is, how far its tones spread, and how much of it is clipped."""

import math
from collections.abc import Sequence

from stages.scan.meter import View

DARKEST, BRIGHTEST = 8, 247  # luma at or beyond which a pixel counts as clipped


class Light:
    """Of every frame, but what is clipped of the frames of the strip only, NaN between."""

    columns = {
        "light_mean": "mean luma [0..1]",
        "light_spread": "standard deviation of luma [0..1]",
        "clipped_dark": "share of pixels with luma at most 8 of 255 [0..1]",
        "clipped_bright": "share of pixels with luma at least 247 of 255 [0..1]",
        "level_mean": "mean of blue, green and red, as PySceneDetect's fades want it [0..255]",
    }

    def update(self, view: View) -> Sequence[float]:
        import cv2

        mean, spread = cv2.meanStdDev(view.gray)
        blue, green, red, _ = cv2.mean(view.bgr)
        level = (blue + green + red) / 3
        return (float(mean[0, 0]) / 255, float(spread[0, 0]) / 255, *self._clipped(view), level)

    def _clipped(self, view: View) -> tuple[float, float]:
        import cv2

        if view.still is None:
            return math.nan, math.nan
        lit = cv2.countNonZero(cv2.threshold(view.gray, DARKEST, 255, cv2.THRESH_BINARY)[1])
        bright = cv2.countNonZero(cv2.threshold(view.gray, BRIGHTEST - 1, 255, cv2.THRESH_BINARY)[1])
        return 1 - lit / view.gray.size, bright / view.gray.size
