"""The promise of a meter: it looks at each frame once, in order, and says a few numbers about it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from manifests import ClipmillError
from stages.media.frame import Frame
from stages.media.orientation import upright


class View:
    """One frame as the meters see it. Pictures are made when first asked for, and shared."""

    def __init__(self, frame: Frame, time_s: float, since_s: float, small: tuple[int, int]) -> None:
        self.time_s = time_s  # since the first frame
        self.since_s = since_s  # since the frame before; 0 at the first
        self.still: np.ndarray | None = None  # uint8 BGR [h w 3], of frames that go into the strip
        self._frame, self._small = frame, small

    @cached_property
    def bgr(self) -> np.ndarray:
        """uint8 [h w 3]: the frame as PySceneDetect makes it small, 256 px on its longer side."""
        import cv2

        # Bilinear samples of the full-size picture, not an average: the same pixels give the same scores.
        full, (width, height) = self.full, self._small
        if full.shape[:2] == (height, width):
            return np.ascontiguousarray(upright(full, self._frame.turns))
        small = cv2.resize(full, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(upright(small, self._frame.turns)) if self._frame.turns else small

    @cached_property
    def full(self) -> np.ndarray:
        """uint8 BGR [h w 3]: the frame as coded, not turned; memory of the decoder, for this frame only."""
        return self._frame.borrowed("bgr24", how="BILINEAR")

    @property
    def luma(self) -> np.ndarray:
        """uint8 [h w]: luma at the coded size, not turned; memory of the decoder, for this frame only."""
        return self._frame.luma()

    @property
    def coded(self) -> Frame:
        """The frame as it came from the decoder: its type, its vectors, its turns."""
        return self._frame

    @property
    def interlaced(self) -> bool:
        """Whether the frame was coded as two fields, so that its odd lines may be of another time."""
        return bool(self._frame.raw.interlaced_frame)

    @cached_property
    def hsv(self) -> np.ndarray:
        """Hue (0 … 179), saturation and value of the small frame, uint8 [h w 3]."""
        import cv2

        made: np.ndarray = cv2.cvtColor(self.bgr, cv2.COLOR_BGR2HSV)
        return made

    @cached_property
    def half(self) -> np.ndarray:
        """uint8 BGR [h w 3]: the small frame averaged to half its size, both sides multiples of 4.

        At most 7 lines of each side of the small frame are left out, evenly.
        """
        import cv2

        height, width = self.bgr.shape[:2]
        if min(height, width) < 16:
            return cv2.resize(self.bgr, (max(8, width // 8 * 4), max(8, height // 8 * 4)))
        top, left = height % 8 // 2, width % 8 // 2
        inner = self.bgr[top : top + height // 8 * 8, left : left + width // 8 * 8]
        made: np.ndarray = cv2.resize(inner, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return made

    @cached_property
    def thumb(self) -> tuple[np.ndarray, np.ndarray]:
        """The frame in cells: luma uint8 [h w], about 32 long; Cr and Cb [h2 w2 2], half as many."""
        import cv2

        cells = self.half
        for _ in range(2):
            cells = cv2.resize(cells, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        height, width = (max(2, side // 2 * 2) for side in cells.shape[:2])
        even = cells[:height, :width] if min(cells.shape[:2]) > 1 else cv2.resize(cells, (width, height))
        fewer = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        luma = cv2.cvtColor(cells, cv2.COLOR_BGR2YCrCb)[..., 0]
        return luma, cv2.cvtColor(fewer, cv2.COLOR_BGR2YCrCb)[..., 1:]

    @cached_property
    def gray(self) -> np.ndarray:
        """Luma 0 … 255, uint8 [h w]."""
        import cv2

        made: np.ndarray = cv2.cvtColor(self.bgr, cv2.COLOR_BGR2GRAY)
        return made

    @cached_property
    def still_gray(self) -> np.ndarray | None:
        """Luma of the still 0 … 255, uint8 [h w]; None between stills."""
        import cv2

        return None if self.still is None else cv2.cvtColor(self.still, cv2.COLOR_BGR2GRAY)


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the small frames: PySceneDetect's, 256 px on the longer side, never more."""
    factor = max(1.0, max(width, height) / 256)
    return max(1, round(width / factor)), max(1, round(height / factor))


class Meter(Protocol):
    """One object per video. It may remember earlier frames, in bounded memory."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The names of its signals, each with "what it means [unit]"."""

    def update(self, view: View) -> Sequence[float]:
        """The values for this frame, in the order of `columns`; NaN where there is nothing to say."""


def meter_named(name: str) -> Meter:
    """A fresh meter: "motion" is class Motion of stages/scan/meters/motion.py, "room.door:Class" any other.

    Raises:
        ClipmillError: there is no such meter.
    """
    module, _, kind = name.partition(":")
    if not kind:
        module, kind = f"{__package__}.meters.{name}", name.title().replace("_", "")
    try:
        return cast(Meter, getattr(import_module(module), kind)())
    except (ImportError, AttributeError) as error:
        raise ClipmillError(
            f"there is no meter {name!r}",
            where=f"{module}:{kind}",
            remedy="name a file of stages/scan/meters/, or write module:Class",
        ) from error
