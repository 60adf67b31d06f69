"""Frame differences, from which frozen stretches and repeated frames are found."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView


class Repeats:
    """Largest and mean difference of luma to the previous frame; 255 at the first frame."""

    columns = {
        "change_max": "largest luma difference of any pixel to the previous frame [0..255]",
        "change_mean": "mean absolute luma difference to the previous frame [0..255]",
    }

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        previous, self._previous = self._previous, view.gray
        if previous is None:
            return (255.0, 255.0)
        return (
            cv2.norm(view.gray, previous, cv2.NORM_INF),
            cv2.norm(view.gray, previous, cv2.NORM_L1) / previous.size,
        )
