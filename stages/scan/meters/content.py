"""Content change between consecutive frames: the components of PySceneDetect's content score."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView


class Content:
    """Mean absolute difference of hue, saturation and value to the previous frame; 0 at the first frame.

    Equal to `ContentDetector` of PySceneDetect 0.7, so its detectors can be replayed from the stored signals.
    """

    columns = {
        "delta_hue": "mean absolute difference of hue to the previous frame [0..179]",
        "delta_sat": "mean absolute difference of saturation to the previous frame [0..255]",
        "delta_lum": "mean absolute difference of value to the previous frame [0..255]",
    }

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        previous, self._previous = self._previous, view.hsv
        if previous is None:
            return (0.0, 0.0, 0.0)
        pixels = previous.shape[0] * previous.shape[1]
        return [total / pixels for total in cv2.sumElems(cv2.absdiff(view.hsv, previous))[:3]]
