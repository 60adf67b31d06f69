"""The pictures of a window: the strip's own stills where they are large enough, else frames of the source."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np

from manifests import Artifact
from pipeline import Reject
from stages.captions.windows import Window
from stages.media.decode import open_video
from stages.media.strip import jpeg_of, pixels_of, read_strip

_NEARLY = 0.97  # of the size that is wanted is enough: sides are rounded
_QUALITY = 90  # of the JPEGs that are made here, 1 … 100


class Filmed(Protocol):
    """A clip's row: its source and its strip."""

    @property
    def uri(self) -> str: ...
    @property
    def width_px(self) -> int: ...
    @property
    def height_px(self) -> int: ...
    @property
    def strip(self) -> Artifact: ...
    @property
    def strip_times_s(self) -> Sequence[float]: ...
    @property
    def strip_offsets(self) -> Sequence[int]: ...


class Look(NamedTuple):
    """How a window is looked at.

    Attributes:
        fps: pictures per second of the clip.
        px: the longer side of a picture; what the source has, if that is less.
        most: pictures of a window; more are thinned out evenly.
    """

    fps: float
    px: int
    most: int


def pictures_of(row: Filmed, window: Window, look: Look) -> list[bytes]:
    """JPEGs in order of time, at least one.

    Raises:
        Reject: the strip does not do, and the source is gone or is not what was scanned.
    """
    wanted = max(1, min(look.most, int((window.end_s - window.start_s) * look.fps + 0.5)))
    longest = min(look.px, max(row.width_px, row.height_px))
    return _of_strip(row, window, wanted, longest) or list(_of_source(row, window, wanted, longest))


def _of_strip(row: Filmed, window: Window, wanted: int, longest: int) -> list[bytes]:
    """None, if the stills are too few or too small. The last place of a window may fall into the next."""
    stills = read_strip(row, window.start_s, window.end_s, wanted)
    if len(stills) < max(1, wanted - 1):
        return []
    sizes = max(pixels_of(stills[0]).shape[:2])
    if sizes < _NEARLY * longest:
        return []
    return [still.jpeg if sizes <= longest else _shrunk(pixels_of(still), longest) for still in stills]


def _of_source(row: Filmed, window: Window, wanted: int, longest: int) -> Iterator[bytes]:
    """The first frames at or after so many times, which divide the window evenly."""
    seen = 0
    with open_video(row.uri) as video:
        step = Fraction(window.end_pts - window.start_pts, wanted)
        given = 0
        for frame in video.frames(window.start_pts, window.end_pts):
            seen += 1
            if given < wanted and frame.pts >= window.start_pts + given * step:
                wide, high = video.shown_size(frame.turns)
                scale = min(Fraction(1), Fraction(longest, max(wide, high)))
                size = (max(1, round(wide * scale)), max(1, round(high * scale)))
                yield jpeg_of(frame.pixels("bgr24", *size), _QUALITY)
                given += 1
    if seen != (scanned := window.end_frame - window.start_frame):
        raise Reject(f"the source gives {seen} frames in a window, where the scan saw {scanned}")


def _shrunk(picture: np.ndarray, longest: int) -> bytes:
    import cv2

    high, wide = picture.shape[:2]
    scale = longest / max(high, wide)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    return jpeg_of(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1], _QUALITY)
