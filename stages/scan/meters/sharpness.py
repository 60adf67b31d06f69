"""Sharpness: the fine detail of the stills, at a fixed scale."""

from collections.abc import Sequence

from stages.scan.meter import View


class Sharpness:
    """The variance of the Laplacian of the still's luma; NaN at frames between stills."""

    columns = {"sharpness": "variance of the Laplacian of luma at the size of the stills [1]"}

    def update(self, view: View) -> Sequence[float]:
        import cv2

        if view.still is None:
            return (float("nan"),)
        gray = cv2.cvtColor(view.still, cv2.COLOR_RGB2GRAY)
        return (float(cv2.Laplacian(gray, cv2.CV_32F).var()),)
