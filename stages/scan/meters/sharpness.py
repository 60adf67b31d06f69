"""Sharpness: how steep the strongest edges of the stills are, at a fixed scale."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

BAND = 16  # lines measured of every `SPACING` lines of a still
SPACING = 40
EDGE_SHARE = 0.02  # share of the pixels that counts as the strongest edges
FLAT = 0.5  # gradient in luma per px below which there is no relevant edge
STEPS = 4  # 8-bit steps per luma level per px


class Sharpness:
    """Mean Laplacian over mean gradient, on and next to the strongest 2 % of the edges.

    The value is about one over the width of an edge: blur lowers it, while contrast and the amount of detail
    cancel out. The Laplacian is 5 px wide, where noise and rounding have little influence. NaN between
    stills.
    """

    columns = {"sharpness": "steepness of the strongest edges, at the size of the stills [1/px]"}

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        if view.still_gray is None or min(view.still_gray.shape) < 4:
            return (math.nan,)
        gray = _bands(view.still_gray)
        across, down = (cv2.convertScaleAbs(part, alpha=STEPS / 8) for part in cv2.spatialGradient(gray))
        slope = cv2.add(across, down)  # spatialGradient gives 8 times the gradient
        bend = cv2.convertScaleAbs(cv2.Laplacian(gray, cv2.CV_16S, ksize=5), alpha=STEPS / 64)
        for image in (slope, bend):  # the seam between two bands is not an edge
            lines = image.reshape(-1, min(BAND, len(image)), image.shape[1])
            lines[:, :2] = lines[:, -2:] = 0
        counts = np.cumsum(cv2.calcHist([slope[::2, ::2]], [0], None, [256], [0, 256]))
        threshold = int(np.searchsorted(counts, counts[-1] * (1 - EDGE_SHARE)))
        edges = cv2.threshold(slope, max(0, threshold - 1), 255, cv2.THRESH_BINARY)[1]
        near = cv2.dilate(edges, _NEIGHBORS)
        slopes, bends = (cv2.sumElems(cv2.bitwise_and(near, image))[0] for image in (slope, bend))
        flat = FLAT * STEPS * cv2.countNonZero(near)
        return (bends / (slopes + flat) if flat else 0.0,)


_NEIGHBORS = np.ones((3, 3), np.uint8)


def _bands(gray: np.ndarray) -> np.ndarray:
    """Return evenly spaced bands of lines, stacked; uint8 [n w]."""
    count = gray.shape[0] // SPACING
    if not count:
        return gray[:BAND]
    return gray[: count * SPACING].reshape(count, SPACING, -1)[:, :BAND].reshape(count * BAND, -1)
