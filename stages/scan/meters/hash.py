"""Hash: how unlike the perceptual hashes of consecutive frames are, as PySceneDetect sees it."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

SIZE, LOWPASS = 8, 2  # PySceneDetect's defaults


class Hash:
    """Share of the bits in which they differ, as `HashDetector` of PySceneDetect 0.7; 0 at the first frame.

    The hash says of each low frequency of the frame's cosine transform whether it is above their median.
    """

    columns = {"hash_distance": "share of the hash's bits that differ from the frame before [0..1]"}

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def update(self, view: View) -> Sequence[float]:
        import cv2

        small = cv2.resize(view.gray, (SIZE * LOWPASS, SIZE * LOWPASS), interpolation=cv2.INTER_AREA)
        low = cv2.dct(np.float32(small) / (small.max() or 1))[:SIZE, :SIZE]
        before, self._before = self._before, low > np.median(low)
        return (0.0 if before is None else np.count_nonzero(before != self._before) / SIZE**2,)
