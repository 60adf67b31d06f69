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

    The camera is the similarity (shift, zoom, roll) that explains the flow best, by iteratively
    reweighted least squares with Cauchy weights. Lengths are in longer sides of the picture.
    Frames closer than `GAP_S` to the last one looked at are passed over (NaN), and so is the
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
        flow = field[..., 0] + 1j * field[..., 1]
        shift, turn, left = fit_similarity(flow, complex(*size) / 2)
        per_s = 1 / (LONG_SIDE * since_s)
        return (
            float(np.abs(flow).mean()) * per_s,
            -shift.real * per_s,
            shift.imag * per_s,
            turn.real / since_s,
            math.degrees(turn.imag) / since_s,
            left * per_s,
        )


def fit_similarity(flow: np.ndarray, centre: complex) -> tuple[complex, complex, float]:
    """Fit flow = shift + turn (point - centre), with points and flow as complex numbers x + i y, in px.

    Returns shift, turn (the real part is growth, the imaginary part a clockwise turn in radians),
    and the mean length of the flow that the fit leaves.
    """
    rows, columns = flow.shape
    down, across = np.mgrid[:rows, :columns] * STEP + STEP // 2
    points, moved = (across + 1j * down - centre).ravel(), flow.ravel()
    weights = np.ones(points.size)
    for _ in range(ROUNDS):
        total = weights.sum()
        here, there = weights @ points / total, weights @ moved / total
        spokes, swings = points - here, moved - there
        pull = weights * spokes.conj()
        turn = (pull @ swings) / ((pull @ spokes).real + 1e-9)
        left = np.abs(swings - turn * spokes)
        scale = 2.0 * np.partition(left, left.size // 2)[left.size // 2] + 0.02
        weights = 1 / (1 + (left / scale) ** 2)
    return complex(there - turn * here), complex(turn), float(left.mean())
