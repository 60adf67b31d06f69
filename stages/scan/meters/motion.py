"""Motion: dense flow at low resolution, split into what the camera does and what is left."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from stages.scan.meter import View

LONG_SIDE = 128  # px of the picture on which flow is computed
STEP = 4  # px between the points of the flow to which the camera is fitted
GAP_S = 1 / 16  # at least, between the two frames that are compared
ROUNDS = 4  # of reweighting: what moves by itself loses its say on the camera


class Motion:
    """Dense inverse search flow (Kroeger et al. 2016) and a robust similarity fit.

    A point at (x, y) from the centre moves by (a + s x - r y, b + s y + r x); a, b, s, r by
    iteratively reweighted least squares with Cauchy weights. Lengths are in longer sides of the
    picture. Frames closer than `GAP_S` to the last one looked at are passed over (NaN), and so is the
    first; the first value after a cut compares two shots and says nothing.
    """

    columns = {
        "motion": "mean length of the flow [longer sides/s]",
        "pan": "camera to the right, from the fit [longer sides/s]",
        "tilt": "camera upwards, from the fit [longer sides/s]",
        "zoom": "growth of the picture, from the fit [1/s]",
        "roll": "clockwise turn of the picture, from the fit [deg/s]",
        "object_motion": "mean length of the flow that the camera does not explain [longer sides/s]",
    }

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._since_s = 0.0

    @cached_property
    def _flow(self) -> Any:
        import cv2

        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        flow.setFinestScale(1)
        return flow

    def update(self, view: View) -> Sequence[float]:
        import cv2

        self._since_s += view.since_s
        if self._before is not None and self._since_s < GAP_S * 0.99:
            return (math.nan,) * 6
        height, width = view.gray.shape
        scale = LONG_SIDE / max(height, width)
        size = (max(16, round(width * scale)), max(16, round(height * scale)))
        now = cv2.resize(view.gray, size, interpolation=cv2.INTER_AREA)
        before, self._before = self._before, now
        since_s, self._since_s = self._since_s, 0.0
        if before is None:
            return (math.nan,) * 6
        field = self._flow.calc(before, now, None)[STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.float64)
        moved, left, (a, b, s, r) = _fit(field, np.array(size) / 2)
        per_s = 1 / (LONG_SIDE * since_s)
        return (
            moved * per_s,
            -a * per_s,
            b * per_s,
            s / since_s,
            np.degrees(r) / since_s,
            left * per_s,
        )


def _fit(field: np.ndarray, centre: np.ndarray) -> tuple[float, float, tuple[float, float, float, float]]:
    """Mean length of the flow [h w 2], of its rest, and the similarity (a, b, s, r) around `centre`; px."""
    rows, columns, _ = field.shape
    x = np.tile(np.arange(columns) * STEP + STEP // 2 - centre[0], rows)
    y = np.repeat(np.arange(rows) * STEP + STEP // 2 - centre[1], columns)
    u, v = field.reshape(-1, 2).T
    weights, points = np.ones_like(u), np.stack([x, y, u, v], 1)
    for _ in range(ROUNDS):
        total = weights.sum()
        mx, my, mu, mv = weights @ points / total
        dx, dy, du, dv = x - mx, y - my, u - mu, v - mv
        spread = weights @ (dx * dx + dy * dy) + 1e-9
        s, r = weights @ (dx * du + dy * dv) / spread, weights @ (dx * dv - dy * du) / spread
        left = np.hypot(du - s * dx + r * dy, dv - s * dy - r * dx)
        scale = 2.0 * np.median(left) + 0.02
        weights = 1 / (1 + (left / scale) ** 2)
    a, b = mu - s * mx + r * my, mv - s * my - r * mx
    return float(np.hypot(u, v).mean()), float(left.mean()), (float(a), float(b), float(s), float(r))
