"""The contract of a meter: it gets each frame of a video once, in order, and returns a few numbers for it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from manifests import ClipmillError
from stages.media.decoding.frame import Frame
from stages.media.decoding.orientation import rotate_upright


class FrameView:
    """One frame, in the forms that meters need. Each form is computed on first use and shared by all meters.

    Attributes:
        time_s: Seconds since the first frame.
        since_previous_s: Seconds since the previous frame; 0 at the first frame.
        still: The still of the frame, uint8 BGR [h w 3]; None if the frame is not in the strip.
    """

    def __init__(
        self,
        frame: Frame,
        time_s: float,
        since_previous_s: float,
        small_size: tuple[int, int],
        full_size: tuple[int, int] = (0, 0),
        thumb_source_size: tuple[int, int] = (0, 0),
    ) -> None:
        """
        Args:
            frame: The decoded frame.
            time_s: Seconds since the first frame.
            since_previous_s: Seconds since the previous frame; 0 at the first frame.
            small_size: Width and height of `bgr` before it is turned upright.
            full_size: Width and height of `full_bgr` if it were upright; (0, 0) keeps the coded size.
            thumb_source_size: Width and height of the upright image that `thumb` is made of; (0, 0) is the
                size of `bgr`.
        """
        self.time_s = time_s
        self.since_previous_s = since_previous_s
        self.still: np.ndarray | None = None
        self._frame, self._small_size = frame, small_size
        self._full_size, self._thumb_source_size = full_size, thumb_source_size

    @cached_property
    def bgr(self) -> np.ndarray:
        """The small frame, upright, uint8 [h w 3]: downscaled as in PySceneDetect, longer side 256 px."""
        import cv2

        # Bilinear samples of the full-size frame, not an average: the same pixels give the same scores.
        full, (width, height) = self.full_bgr, self._small_size
        if full.shape[:2] == (height, width):
            return np.ascontiguousarray(rotate_upright(full, self._frame.orientation))
        small = cv2.resize(full, (width, height), interpolation=cv2.INTER_LINEAR)
        if not self._frame.orientation:
            return small
        return np.ascontiguousarray(rotate_upright(small, self._frame.orientation))

    @cached_property
    def full_bgr(self) -> np.ndarray:
        """The frame, uint8 [h w 3], not upright, in decoder memory: valid for this frame only.

        It has the coded size; frames of HDR and of a wide gamut have at most 1024 px on the longer side.
        """
        width, height = self._full_size
        return self._frame.pixels_view("bgr24", width=width, height=height, interpolation="BILINEAR")

    @property
    def luma(self) -> np.ndarray:
        """Luma at the coded size, uint8 [h w], not upright; valid for this frame only (decoder memory)."""
        return self._frame.luma()

    @property
    def frame(self) -> Frame:
        """The decoded frame: its picture type, motion vectors and orientation."""
        return self._frame

    @property
    def is_interlaced(self) -> bool:
        """Whether the frame was coded as two fields: its odd lines may show another time."""
        return bool(self._frame.raw.interlaced_frame)

    @cached_property
    def hsv(self) -> np.ndarray:
        """Hue (0 to 179), saturation and value of the small frame, uint8 [h w 3]."""
        import cv2

        hsv: np.ndarray = cv2.cvtColor(self.bgr, cv2.COLOR_BGR2HSV)
        return hsv

    @cached_property
    def half_bgr(self) -> np.ndarray:
        """The small frame averaged to half its size, uint8 [h w 3]; both sides are multiples of 4.

        At most 7 lines of each side of the small frame are cropped, evenly.
        """
        return _half(self.bgr)

    @cached_property
    def thumb(self) -> tuple[np.ndarray, np.ndarray]:
        """The thumbnail: luma uint8 [h w], longer side about 32; Cr and Cb uint8 [h2 w2 2], half as long.

        All thumbnails of a video have the same size: a frame of another shape is stretched.
        """
        import cv2

        size = self._thumb_source_size
        is_other = any(size) and size != self.bgr.shape[1::-1]
        cells = _half(cv2.resize(self.bgr, size, interpolation=cv2.INTER_AREA)) if is_other else self.half_bgr
        for _ in range(2):
            cells = cv2.resize(cells, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        height, width = (max(2, side // 2 * 2) for side in cells.shape[:2])
        even = cells[:height, :width] if min(cells.shape[:2]) > 1 else cv2.resize(cells, (width, height))
        fewer = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        luma = cv2.cvtColor(cells, cv2.COLOR_BGR2YCrCb)[..., 0]
        return luma, cv2.cvtColor(fewer, cv2.COLOR_BGR2YCrCb)[..., 1:]

    @cached_property
    def gray(self) -> np.ndarray:
        """Luma of the small frame, 0 to 255, uint8 [h w]."""
        import cv2

        gray: np.ndarray = cv2.cvtColor(self.bgr, cv2.COLOR_BGR2GRAY)
        return gray

    @cached_property
    def still_gray(self) -> np.ndarray | None:
        """Luma of the still, 0 to 255, uint8 [h w]; None if the frame is not in the strip."""
        import cv2

        return None if self.still is None else cv2.cvtColor(self.still, cv2.COLOR_BGR2GRAY)


def _half(bgr: np.ndarray) -> np.ndarray:
    import cv2

    height, width = bgr.shape[:2]
    if min(height, width) < 16:
        return cv2.resize(bgr, (max(8, width // 8 * 4), max(8, height // 8 * 4)))
    top, left = height % 8 // 2, width % 8 // 2
    inner = bgr[top : top + height // 8 * 8, left : left + width // 8 * 8]
    half: np.ndarray = cv2.resize(inner, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return half


def small_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of the small frame: longer side at most 256 px, as in PySceneDetect."""
    factor = max(1.0, max(width, height) / 256)
    return max(1, round(width / factor)), max(1, round(height / factor))


class Meter(Protocol):
    """Measures the frames of one video. It may remember earlier frames, in bounded memory."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The names of its signals, each with "meaning [unit]"."""

    def update(self, view: FrameView) -> Sequence[float]:
        """Return the values for this frame, in the order of `columns`; NaN where there is no value."""


def load_meter(name: str) -> Meter:
    """Create a meter: "motion" is class Motion of stages/scan/meters/motion.py; "module:Class" is any other.

    Raises:
        ClipmillError: No meter has this name.
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
