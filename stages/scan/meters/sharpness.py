"""Sharpness: how steep the strongest edges of the stills are, at a fixed scale."""

from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

EDGES = 98  # percentile of the gradient from which on a pixel belongs to an edge
FLAT = 0.5  # gradient, in luma per px, below which there is no edge to speak of


class Sharpness:
    """Mean size of the Laplacian over mean size of the gradient, on and beside the strongest 2 % of edges.

    About one over the width of an edge, so blur lowers it while contrast and the amount of detail
    cancel out. NaN at frames between stills.
    """

    columns = {"sharpness": "steepness of the strongest edges, at the size of the stills [1/px]"}

    def update(self, view: View) -> Sequence[float]:
        import cv2

        if view.still_gray is None:
            return (float("nan"),)
        gray = view.still_gray.astype(np.float32)
        gray = cv2.GaussianBlur(gray, (0, 0), 0.6)  # against the noise of single pixels
        across = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=1 / 8)
        down = cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=1 / 8)
        slope, bend = cv2.magnitude(across, down), np.abs(cv2.Laplacian(gray, cv2.CV_32F))
        edges = (slope >= np.percentile(slope[::2, ::2], EDGES)).astype(np.uint8)
        near = cv2.dilate(edges, np.ones((3, 3), np.uint8))
        return (cv2.mean(bend, near)[0] / (cv2.mean(slope, near)[0] + FLAT),)
