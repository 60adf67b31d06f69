"""The promise of a meter: it looks at each frame once, in order, and says a few numbers about it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from manifests import ClipmillError
from stages.media.decode import Frame


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
        full = self._frame.borrowed("bgr24", how="BILINEAR")
        small = cv2.resize(full, self._small, interpolation=cv2.INTER_LINEAR) if self._shrinks(full) else full
        return np.ascontiguousarray(np.rot90(small, self._frame.turns))

    @cached_property
    def hsv(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hue (0 … 179), saturation and value, uint8 [h w] each."""
        import cv2

        hue, saturation, value = cv2.split(cv2.cvtColor(self.bgr, cv2.COLOR_BGR2HSV))
        return hue, saturation, value

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

    def _shrinks(self, full: np.ndarray) -> bool:
        return (full.shape[1], full.shape[0]) != self._small


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
