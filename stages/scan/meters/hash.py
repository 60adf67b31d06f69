"""Perceptual hash distance between consecutive frames, as in PySceneDetect."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

SIZE, LOWPASS = 8, 2  # defaults of PySceneDetect


class Hash:
    """Share of differing hash bits, as in `HashDetector` of PySceneDetect 0.7; 0 at the first frame.

    Each bit of the hash says whether one low frequency of the cosine transform is above their median.
    """

    columns = {"hash_distance": "share of the hash bits that differ from the previous frame [0..1]"}

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        small = cv2.resize(view.gray, (SIZE * LOWPASS, SIZE * LOWPASS), interpolation=cv2.INTER_AREA)
        low = cv2.dct(small.astype(np.float32) / (small.max() or 1))[:SIZE, :SIZE]
        previous, self._previous = self._previous, low > np.median(low)
        return (0.0 if previous is None else np.count_nonzero(previous != self._previous) / SIZE**2,)
