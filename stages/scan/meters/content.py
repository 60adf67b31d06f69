"""Content change between consecutive frames: the components of PySceneDetect's content score."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View


class Content:
    """Mean absolute difference of hue, saturation and value to the frame before; 0 at the first.

    As `ContentDetector` of PySceneDetect 0.7, so its detectors can be replayed from the store.
    """

    columns = {
        "delta_hue": "mean absolute difference of hue to the frame before [0..179]",
        "delta_sat": "mean absolute difference of saturation to the frame before [0..255]",
        "delta_lum": "mean absolute difference of value to the frame before [0..255]",
    }

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def update(self, view: View) -> Sequence[float]:
        import cv2

        before, self._before = self._before, view.hsv
        if before is None:
            return (0.0, 0.0, 0.0)
        pixels = before.shape[0] * before.shape[1]
        return [total / pixels for total in cv2.sumElems(cv2.absdiff(view.hsv, before))[:3]]
