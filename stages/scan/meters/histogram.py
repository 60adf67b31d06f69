"""Histogram: how alike the tones of consecutive frames are, as PySceneDetect's histogram detector sees it."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

BINS = 128  # PySceneDetect's default


class Histogram:
    """Correlation of luma histograms, as `HistogramDetector` of PySceneDetect 0.7; 1 at the first frame."""

    columns = {"histogram_correlation": "correlation with the luma histogram of the frame before [-1..1]"}

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def update(self, view: View) -> Sequence[float]:
        import cv2

        luma = cv2.split(cv2.cvtColor(view.bgr, cv2.COLOR_BGR2YUV))[0]
        counts = cv2.calcHist([luma], [0], None, [BINS], [0, 256])
        before, self._before = self._before, cv2.normalize(counts, counts).ravel()
        return (1.0 if before is None else cv2.compareHist(before, self._before, cv2.HISTCMP_CORREL),)
