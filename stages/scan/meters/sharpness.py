"""Sharpness: how steep the strongest edges of the stills are, at a fixed scale."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

BAND = 16  # lines of a still that are looked at, of each 40
APART = 40
EDGES = 0.02  # share of the pixels that belong to the strongest edges
FLAT = 0.5  # gradient, in luma per px, below which there is no edge to speak of
STEPS = 4  # of 8 bits, to a luma level per px


class Sharpness:
    """Mean size of the Laplacian over mean size of the gradient, on and beside the strongest 2 % of edges.

    About one over the width of an edge, so blur lowers it while contrast and the amount of detail
    cancel out. The Laplacian is taken at 5 px, where noise and rounding have little say. NaN between stills.
    """

    columns = {"sharpness": "steepness of the strongest edges, at the size of the stills [1/px]"}

    def update(self, view: View) -> Sequence[float]:
        import cv2

        if view.still_gray is None or min(view.still_gray.shape) < 4:
            return (math.nan,)
        gray = _bands(view.still_gray)
        across, down = cv2.spatialGradient(gray)  # 8 times the gradient
        slope = cv2.add(*(cv2.convertScaleAbs(part, alpha=STEPS / 8) for part in (across, down)))
        bend = cv2.convertScaleAbs(cv2.Laplacian(gray, cv2.CV_16S, ksize=5), alpha=STEPS / 64)
        for picture in (slope, bend):  # where two bands meet is no edge
            lines = picture.reshape(-1, min(BAND, len(picture)), picture.shape[1])
            lines[:, :2] = lines[:, -2:] = 0
        counts = np.cumsum(cv2.calcHist([slope[::2, ::2]], [0], None, [256], [0, 256]))
        least = int(np.searchsorted(counts, counts[-1] * (1 - EDGES)))
        near = cv2.dilate(cv2.threshold(slope, max(0, least - 1), 255, cv2.THRESH_BINARY)[1], _NEAR)
        steep, bent = (cv2.sumElems(cv2.bitwise_and(near, part))[0] for part in (slope, bend))
        flat = FLAT * STEPS * cv2.countNonZero(near)
        return (bent / (steep + flat) if flat else 0.0,)


_NEAR = np.ones((3, 3), np.uint8)


def _bands(gray: np.ndarray) -> np.ndarray:
    """Bands of lines at even distances, one after the other."""
    count = gray.shape[0] // APART
    if not count:
        return gray[:BAND]
    return gray[: count * APART].reshape(count, APART, -1)[:, :BAND].reshape(count * BAND, -1)
