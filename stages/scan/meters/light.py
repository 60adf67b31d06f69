"""Brightness, contrast and clipping of frames."""

import math
from collections.abc import Sequence

from stages.scan.meter import FrameView

MAX_DARK = 8  # luma up to which a pixel counts as clipped to black
MIN_BRIGHT = 250  # value from which a color channel counts as clipped


class Light:
    """Mean and spread of luma for every frame; clipped shares for the stills only, NaN between them.

    A pixel is clipped if two of its color channels are: one is full in saturated colors too, and a colored
    surface that is overexposed loses its hue before its luma is at the limit.
    """

    columns = {
        "light_mean": "mean luma [0..1]",
        "light_spread": "standard deviation of luma [0..1]",
        "clipped_dark": "share of pixels with luma of at most 8 of 255 [0..1]",
        "clipped_bright": "share of pixels with two color channels of at least 250 of 255 [0..1]",
        "average_rgb": "mean of red, green and blue, as in PySceneDetect's threshold detector [0..255]",
    }

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        mean, spread = cv2.meanStdDev(view.gray)
        blue, green, red, _ = cv2.mean(view.bgr)
        average = (blue + green + red) / 3
        return (float(mean[0, 0]) / 255, float(spread[0, 0]) / 255, *self._clipped_shares(view), average)

    def _clipped_shares(self, view: FrameView) -> tuple[float, float]:
        import cv2

        if view.still is None:
            return math.nan, math.nan
        lit = cv2.countNonZero(cv2.threshold(view.gray, MAX_DARK, 255, cv2.THRESH_BINARY)[1])
        blue, green, red = cv2.split(view.bgr)
        second = cv2.max(cv2.min(blue, green), cv2.min(cv2.max(blue, green), red))  # of the three, by value
        bright = cv2.countNonZero(cv2.threshold(second, MIN_BRIGHT - 1, 255, cv2.THRESH_BINARY)[1])
        return 1 - lit / view.gray.size, bright / view.gray.size
