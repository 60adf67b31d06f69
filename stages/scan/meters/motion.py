"""Motion: optical flow four times a second, split into camera and object motion, and each frame's shift."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.scan.meter import FrameView

TICKS_PER_S = 8  # the first frame of each odd tick is compared with the first frame of the tick before
ITERATIONS = (3, 4, 6)  # of the patch search, from the full image to a quarter of its size
STRIDES = (10, 6, 4)  # px between patches at these sizes
MIN_SIDE = 16  # px; smaller images are enlarged


class Motion:
    """Patch flow (`stages.scan.flow`), a robust camera fit (`similarity`), and line sums (`shift`).

    Lengths are in longer sides of the image, which is measured at 128 px. The compared frames are 1/8 s
    apart, so that slow motion shows. The search starts at the accumulated shift of the frames in between, so
    that fast motion does not escape it. The other frames have no flow (NaN). The first measurement after a
    cut compares two shots and is meaningless: `motion_interval` says how far back a measurement reaches.
    """

    columns = {
        "motion": "mean length of the flow [longer sides/s]",
        "pan": "camera motion to the right [longer sides/s]",
        "tilt": "camera motion upwards [longer sides/s]",
        "zoom": "growth rate of the image [1/s]",
        "roll": "clockwise rotation of the image [deg/s]",
        "object_motion": "mean length of the flow that the camera does not explain [longer sides/s]",
        "camera_inlier_share": "share of the textured patches that move with the camera [0..1]",
        "motion_interval": "time between the two compared frames [s]",
        "shift_right": "shift of the view to the right since the previous frame [longer sides]",
        "shift_up": "shift of the view upwards since the previous frame [longer sides]",
    }

    def __init__(self) -> None:
        self._spare_lines: npt.NDArray[np.int32] | None = None  # memory for the line sums of the next frame
        self._previous_lines: npt.NDArray[np.int32] | None = None
        self._reference: list[npt.NDArray[np.float32]] = []  # pyramid of the first frame of the last tick
        self._tick = 0
        self._reference_s = 0.0
        self._shift = np.zeros(2)  # since the reference, px to the right and down

    def update(self, view: FrameView) -> Sequence[float]:
        gray = _gray(view)
        long = max(gray.shape)
        across, down, box = self._measure_shift(gray)
        flow: Sequence[float] = (math.nan,) * 8
        tick = math.floor(view.time_s * TICKS_PER_S + 1e-6)
        if tick != self._tick or not self._reference:
            current = _pyramid(gray)
            if self._reference and (tick % 2 or tick - self._tick > 1):
                flow = self._measure_flow(current, view.time_s - self._reference_s, box)
            self._reference, self._tick, self._reference_s = current, tick, view.time_s
            self._shift[:] = 0
        return (*flow, -across / long, down / long)

    def _measure_shift(self, gray: np.ndarray) -> tuple[float, float, tuple[int, int, int, int]]:
        """Return the image's shift since the previous frame, px right and down, and its box without bars."""
        from stages.scan.shift import BANDS, frame_shift

        lines, previous = self._spare_lines, self._previous_lines
        if lines is None:
            lines = np.zeros((BANDS, sum(gray.shape)), np.int32)
        across, down, box = frame_shift(gray, lines, previous if previous is not None else lines[:0])
        self._spare_lines, self._previous_lines = previous, lines
        if not math.isnan(across):
            self._shift[0] += across
        if not math.isnan(down):
            self._shift[1] += down
        return across, down, box

    def _measure_flow(
        self, current: list[npt.NDArray[np.float32]], interval_s: float, box: tuple[int, int, int, int]
    ) -> Sequence[float]:
        """Return the first 8 columns, from the flow since the reference frame."""
        from stages.scan.flow import patch_flow
        from stages.scan.similarity import fit_similarity

        height, width = current[0].shape
        flow = patch_flow(self._reference, current, self._shift, STRIDES, ITERATIONS)
        right, down, growth, turn, length, unexplained, inliers = fit_similarity(flow, width, height, box)
        per_s = 1 / (max(current[0].shape) * interval_s)
        return (
            length * per_s,
            -right * per_s,
            down * per_s,
            math.log(math.hypot(1 + growth, turn)) / interval_s,
            math.degrees(math.atan2(turn, 1 + growth)) / interval_s,
            unexplained * per_s,
            inliers,
            interval_s,
        )


def _gray(view: FrameView) -> np.ndarray:
    """Return luma at half the small frame's size, uint8 [h w], longer side at most 128 px."""
    import cv2

    gray: np.ndarray = cv2.cvtColor(view.half_bgr, cv2.COLOR_BGR2GRAY)
    if min(gray.shape) >= MIN_SIDE:
        return gray
    return cv2.resize(gray, (max(MIN_SIDE, gray.shape[1]), max(MIN_SIDE, gray.shape[0])))


def _pyramid(gray: np.ndarray) -> list[npt.NDArray[np.float32]]:
    """Return the image, a half and a quarter of it, float32 [h w], as far as a few patches fit in."""
    import cv2

    images: list[np.ndarray] = [gray.astype(np.float32)]
    while len(images) < len(STRIDES) and min(images[-1].shape) >= 2 * MIN_SIDE:
        height, width = images[-1].shape
        images.append(cv2.resize(images[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return images
