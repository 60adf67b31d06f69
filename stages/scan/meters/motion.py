"""Motion: optical flow four times a second, split into camera and object motion, and each frame's shift."""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.scan.meter import FrameView

INTERVAL_S = 1 / 8  # least time between two compared frames; measurements are due at its odd multiples
MAX_HOLD_S = 1.0  # an image that is shown longer rests; the repeats of others only lower the frame rate
REPEAT_MAX = 4  # difference of any pixel, in luma levels of 0 to 255, up to which a frame is a repeat
REPEAT_SHARE = 0.2  # mean difference of a repeat, at most, as a share of the usual difference
MEMORY_S = 0.6  # time over which the usual difference is measured
ITERATIONS = (3, 4, 6)  # of the patch search, from the full image to a quarter of its size
STRIDES = (10, 6, 4)  # px between patches at these sizes
MIN_SIDE = 16  # px; smaller images are enlarged
SHIFT_UNITS = (
    1024  # accumulated shifts are whole numbers of 1/1024 px, so that sums do not depend on the start
)


class _Seen(NamedTuple):
    """A recent frame: time, luma, accumulated shift, mean difference to the frame before, and its novelty."""

    time_s: float
    gray: npt.NDArray[np.uint8]
    shift: tuple[int, int]
    change: float
    is_new: bool


class Motion:
    """Patch flow (`stages.scan.flow`), a robust camera fit (`similarity`), and line sums (`shift`).

    Lengths are in longer sides of the image, which is measured at 128 px. The compared frames are at least
    1/8 s apart, so that slow motion shows. The search starts at the accumulated shift of the frames in
    between, so that fast motion does not escape it. The other frames have no flow (NaN). The first
    measurement after a cut compares two shots and is meaningless: `motion_interval` says how far back a
    measurement reaches.

    Repeated frames hide motion, so each measurement compares two frames that repeat no other: both are the
    first that show their image. An image that is shown for more than a second rests, and is measured as such.
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
        self._recent: deque[_Seen] = deque()
        self._usual_change = 0.0  # mean luma difference of a frame to the frame before
        self._is_due = False  # a measurement waits for the next frame that repeats no other

    def update(self, view: FrameView) -> Sequence[float]:
        gray = _gray(view)
        if self._recent and self._recent[-1].gray.shape != gray.shape:
            self._recent.clear()
            self._spare_lines = self._previous_lines = None
        across, down, box = self._measure_shift(gray)
        self._remember(gray, view.time_s, (across, down))
        flow: Sequence[float] = (math.nan,) * 8
        reference = self._reference() if self._is_due else None
        if reference is not None:
            self._is_due = False
            flow = self._measure_flow(reference, box)
        long = max(gray.shape)
        return (*flow, -across / long, down / long)

    def _measure_shift(self, gray: np.ndarray) -> tuple[float, float, tuple[int, int, int, int]]:
        """Return the image's shift since the previous frame, px right and down, and its box without bars."""
        from stages.scan.shift import BANDS, frame_shift

        lines, previous = self._spare_lines, self._previous_lines
        if lines is None:
            lines = np.zeros((BANDS, sum(gray.shape)), np.int32)
        across, down, box = frame_shift(gray, lines, previous if previous is not None else lines[:0])
        self._spare_lines, self._previous_lines = previous, lines
        return across, down, box

    def _remember(self, gray: npt.NDArray[np.uint8], time_s: float, shift: tuple[float, float]) -> None:
        """Add a frame to the recent ones, forget those that no measurement needs, and see what is due."""
        import cv2

        recent = self._recent
        if not recent:
            recent.append(_Seen(time_s, gray, (0, 0), 0.0, True))
            self._is_due, self._usual_change = False, 0.0
            return
        previous = recent[-1]
        change = cv2.norm(gray, previous.gray, cv2.NORM_L1) / gray.size
        is_new = change > REPEAT_SHARE * self._usual_change  # a codec may change a repeated frame a little
        if is_new and change <= REPEAT_MAX:
            is_new = cv2.norm(gray, previous.gray, cv2.NORM_INF) > REPEAT_MAX
        right, down = (0 if math.isnan(part) else round(part * SHIFT_UNITS) for part in shift)
        moved = previous.shift[0] + right, previous.shift[1] + down
        recent.append(_Seen(time_s, gray, moved, change, is_new))
        while len(recent) > 2 and recent[1].time_s < time_s - MAX_HOLD_S - INTERVAL_S:
            recent.popleft()
        if _odd_ticks(time_s) != _odd_ticks(previous.time_s):
            self._is_due = True
            changes = sorted(seen.change for seen in recent if seen.time_s >= time_s - MEMORY_S)
            self._usual_change = changes[-2] if len(changes) > 1 else 0.0  # the largest may be a cut

    def _reference(self) -> _Seen | None:
        """Return the frame to compare the last one with; None if the measurement must wait."""
        *before, now = self._recent
        changed_s = max((seen.time_s for seen in before if seen.is_new), default=-math.inf)
        rests = now.time_s - changed_s > MAX_HOLD_S + 1e-4
        if not (now.is_new or rests):
            return None
        earlier = [
            seen
            for seen in before
            if (seen.is_new or rests) and seen.time_s <= now.time_s - INTERVAL_S + 1e-4
        ]
        return earlier[-1] if earlier else None

    def _measure_flow(self, reference: _Seen, box: tuple[int, int, int, int]) -> Sequence[float]:
        """Return the first 8 columns, from the flow between the reference and the last frame."""
        from stages.scan.flow import patch_flow
        from stages.scan.similarity import fit_similarity

        now = self._recent[-1]
        interval_s = now.time_s - reference.time_s
        if interval_s > MAX_HOLD_S + INTERVAL_S:  # the image of the reference was shown until this moment
            interval_s = INTERVAL_S
        shift = np.subtract(now.shift, reference.shift) / SHIFT_UNITS
        before, after = _pyramid(reference.gray), _pyramid(now.gray)
        flow = patch_flow(before, after, shift, STRIDES, ITERATIONS)
        right, down, growth, turn, length, unexplained, inliers = fit_similarity(
            flow, before[0], after[0], box
        )
        per_s = 1 / (max(now.gray.shape) * interval_s)
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


def _odd_ticks(time_s: float) -> int:
    """Return how many odd multiples of the interval lie up to a time."""
    return math.floor((time_s / INTERVAL_S + 1) / 2 + 1e-6)


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
