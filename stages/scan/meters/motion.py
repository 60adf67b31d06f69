"""Motion: the flow four times a second, split into the camera and what is left, and each frame's slide."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import View

TICKS_PER_S = 8  # the first frame of each odd tick is compared with that of the tick before
ROUNDS = (3, 4, 6)  # of the search, from the full picture to a quarter of it
STRIDES = (10, 6, 4)  # px between patches there
LEAST = 16  # px of a side; smaller pictures are grown


class Motion:
    """Flow of patches (`stages.scan.flow`), a robust camera (`similarity`), and sums of lines (`slide`).

    Lengths are in longer sides of the picture, of which 128 px are looked at. The frames compared are an
    eighth of a second apart, so that slow motion shows; the search begins where the slides of the frames
    between have led, so that fast motion does not escape it. Other frames have no flow (NaN). The first look
    after a cut compares two shots and says nothing: `motion_gap` says how far back a look reaches.
    """

    columns = {
        "motion": "mean length of the flow [longer sides/s]",
        "pan": "camera to the right, from the fit [longer sides/s]",
        "tilt": "camera upwards, from the fit [longer sides/s]",
        "zoom": "growth of the picture, from the fit [1/s]",
        "roll": "clockwise turn of the picture, from the fit [deg/s]",
        "object_motion": "mean length of the flow that the camera does not explain [longer sides/s]",
        "camera_agreed": "share of the patches with texture that go with the camera [0..1]",
        "motion_gap": "time between the two frames that are compared [s]",
        "slide_right": "way of the view since the frame before, to the right [longer sides]",
        "slide_up": "way of the view since the frame before, upwards [longer sides]",
    }

    def __init__(self) -> None:
        self._lines: tuple[np.ndarray | None, np.ndarray | None] = (
            None,
            None,
        )  # to write to; of the frame before
        self._held: list[np.ndarray] = []  # the first frame of the last tick, large to small
        self._tick = 0
        self._held_s = 0.0
        self._way = np.zeros(2)  # from the frame held, in px right and down

    def update(self, view: View) -> Sequence[float]:
        gray = _gray(view)
        long = max(gray.shape)
        across, down, box = self._step(gray)
        flow: Sequence[float] = (math.nan,) * 8
        tick = math.floor(view.time_s * TICKS_PER_S + 1e-6)
        if tick != self._tick or not self._held:
            now = _smaller(gray)
            if self._held and (tick % 2 or tick - self._tick > 1):
                flow = self._look(now, view.time_s - self._held_s, box)
            self._held, self._tick, self._held_s = now, tick, view.time_s
            self._way[:] = 0
        return (*flow, -across / long, down / long)

    def _step(self, gray: np.ndarray) -> tuple[float, float, tuple[int, int, int, int]]:
        """How far the picture slid since the frame before, in px right and down, and its box without bars."""
        from stages.scan.slide import BANDS, slides

        lines, before = self._lines
        if lines is None:
            lines = np.zeros((BANDS, sum(gray.shape)), np.int32)
        across, down, box = slides(gray, lines, before if before is not None else lines[:0])
        self._lines = before, lines
        if across == across:  # is known
            self._way[0] += across
        if down == down:
            self._way[1] += down
        return across, down, box

    def _look(self, now: list[np.ndarray], gap_s: float, box: tuple[int, int, int, int]) -> Sequence[float]:
        from stages.scan.flow import flow_of
        from stages.scan.similarity import fit_similarity

        height, width = now[0].shape
        flow = flow_of(self._held, now, self._way, STRIDES, ROUNDS)
        right, down, growth, turn, length, alone, agreed = fit_similarity(flow, width, height, box)
        per_s = 1 / (max(now[0].shape) * gap_s)
        return (
            length * per_s,
            -right * per_s,
            down * per_s,
            math.log(math.hypot(1 + growth, turn)) / gap_s,
            math.degrees(math.atan2(turn, 1 + growth)) / gap_s,
            alone * per_s,
            agreed,
            gap_s,
        )


def _gray(view: View) -> np.ndarray:
    """Luma of half the small frame, uint8 [h w], 128 px on the longer side or fewer."""
    import cv2

    gray: np.ndarray = cv2.cvtColor(view.half, cv2.COLOR_BGR2GRAY)
    if min(gray.shape) >= LEAST:
        return gray
    return cv2.resize(gray, (max(LEAST, gray.shape[1]), max(LEAST, gray.shape[0])))


def _smaller(gray: np.ndarray) -> list[np.ndarray]:
    """The picture, half of it and a quarter, as far as a few patches fit in; float32."""
    import cv2

    pictures = [gray.astype(np.float32)]
    while len(pictures) < len(STRIDES) and min(pictures[-1].shape) >= 2 * LEAST:
        height, width = pictures[-1].shape
        size = (width // 2, height // 2)
        pictures.append(cv2.resize(pictures[-1], size, interpolation=cv2.INTER_AREA))
    return pictures
