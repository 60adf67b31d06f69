"""Correlation of the luma histograms of consecutive frames, as in PySceneDetect."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

BINS = 128  # default of PySceneDetect


class Histogram:
    """Correlation of luma histograms, as in PySceneDetect 0.7; 1 at the first frame."""

    columns = {"histogram_correlation": "correlation with the luma histogram of the previous frame [-1..1]"}

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        luma = cv2.split(cv2.cvtColor(view.bgr, cv2.COLOR_BGR2YUV))[0]
        counts = cv2.calcHist([luma], [0], None, [BINS], [0, 256])
        previous, self._previous = self._previous, cv2.normalize(counts, counts).ravel()
        return (1.0 if previous is None else cv2.compareHist(previous, self._previous, cv2.HISTCMP_CORREL),)
