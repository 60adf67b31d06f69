"""Repeats: how little a frame differs from the one before, to find frozen stretches and doubled frames."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View


class Repeats:
    columns = {
        "change_max": "largest difference of luma of any pixel to the frame before [0..255]",
        "change_mean": "mean absolute difference of luma to the frame before [0..255]",
    }

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def update(self, view: View) -> Sequence[float]:
        import cv2

        before, self._before = self._before, view.gray
        if before is None:
            return (255.0, 255.0)
        return (
            cv2.norm(view.gray, before, cv2.NORM_INF),
            cv2.norm(view.gray, before, cv2.NORM_L1) / before.size,
        )
