"""A shot, or a piece of a long shot, as a row; and the split of a video at its boundaries."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from manifests import Row, column
from stages.media.timecode import ticks_to_seconds
from stages.shots.boundary import Boundary


class Shot(Row):
    start_pts: int = column("first frame, in the video's time base", unit="ticks", key=True)
    end_pts: int = column("first tick after the last frame", unit="ticks", key=True)
    start_frame: int = column("index of the first frame in the video", by_id=True)
    end_frame: int = column("index after the last frame in the video", by_id=True)
    frames: int = column("number of frames of the clip", unit="frames", by_id=True)
    start_s: float = column("start since the first frame of the video", unit="s", by_id=True)
    end_s: float = column("end since the first frame of the video", unit="s", by_id=True)
    duration_s: float = column("duration of the clip", unit="s", by_id=True)
    width_px: int = column(
        "display width of the clip: after crop, pixel aspect and rotation", unit="px", by_id=True
    )
    height_px: int = column(
        "display height of the clip: after crop, pixel aspect and rotation", unit="px", by_id=True
    )
    kind: str = column("shot; or dissolve, fade or wipe, for the frames between two shots")
    shot: int = column("index of the shot in the video; for a transition, of the shot before it")
    piece: int = column("index of the piece in its shot")
    pieces: int = column("number of pieces that the shot was split into")


class PictureSizes(NamedTuple):
    """The display sizes of a video whose size may change.

    Attributes:
        size: Width and height of the first frame, in pixels.
        changes: Frames at which the format of the picture changes, ascending.
        widths_px, heights_px: The size after each change.
    """

    size: tuple[int, int]
    changes: tuple[int, ...] = ()
    widths_px: tuple[int, ...] = ()
    heights_px: tuple[int, ...] = ()

    def at(self, frame: int) -> tuple[int, int]:
        """Return width and height of a frame."""
        place = bisect_right(self.changes, frame) - 1
        return self.size if place < 0 else (self.widths_px[place], self.heights_px[place])


class FrameTimes:
    """The pts of a video's frames, which are read only when they are needed."""

    def __init__(
        self,
        frames: int,
        time_base: Fraction,
        read_pts: Callable[[], np.ndarray],
        known_pts: dict[int, int],
        end_pts: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            frames: Number of frames of the video.
            time_base: Length of a tick in seconds.
            read_pts: Returns the pts of all frames and of the video's end, int64 [frames + 1].
            known_pts: The pts of some frames; `read_pts` is called only for the others.
            end_pts: For frames after a gap, the end of the frame before; other frames end at the next one.
        """
        self.frames, self.time_base, self._read_pts, self._known_pts = frames, time_base, read_pts, known_pts
        self._end_pts = end_pts

    def pts(self, frame: int) -> int:
        """Return the pts of a frame; of the video's end if `frame` is the number of frames."""
        return self._known_pts[frame] if frame in self._known_pts else int(self._read_pts()[frame])

    def end_pts(self, frame: int) -> int:
        """Return the end of the frame before `frame`."""
        return self._end_pts[frame] if frame in self._end_pts else self.pts(frame)

    def split_evenly(self, start: int, end: int, max_duration_s: float) -> list[int]:
        """Split a span into the fewest pieces of equal length not longer than `max_duration_s`.

        Returns:
            The first frame of each piece, and `end`. With a `max_duration_s` of 0 there is one piece.
        """
        first, last = self.pts(start), self.end_pts(end)
        count = 1
        if max_duration_s:
            # Integers are exact, and faster than fractions.
            numerator, denominator = float(max_duration_s).as_integer_ratio()
            ticks, base = last - first, self.time_base
            count = max(1, -(-ticks * base.numerator * denominator // (base.denominator * numerator)))
        if count == 1:
            return [start, end]
        times = [first + (last - first) * k // count for k in range(1, count)]
        inner = start + np.searchsorted(self._read_pts()[start : end + 1], times)
        return sorted({start, *(int(f) for f in inner if start < f < end), end})


def split_video(
    times: FrameTimes, boundaries: Sequence[Boundary], max_duration_s: float, sizes: PictureSizes
) -> Iterator[Shot]:
    """Split a video at its boundaries into shots and transitions, without holes.

    The frames of transitions are rows of their own. A shot longer than `max_duration_s` is split into even
    pieces, and a frame that is shown for longer is cut off; 0 keeps shots whole. No shot is dropped here.
    """
    index, start = 0, 0
    for boundary in [*boundaries, Boundary(times.frames, times.frames, "end", 1.0)]:
        if boundary.start > start:
            edges = times.split_evenly(start, boundary.start, max_duration_s)
            for piece, (first, last) in enumerate(pairwise(edges)):
                place = (index, piece, len(edges) - 1)
                yield _shot(times, first, last, "shot", place, sizes.at(first), max_duration_s)
            index += 1
        if boundary.end > boundary.start:
            place, size = (max(0, index - 1), 0, 1), sizes.at(boundary.start)
            yield _shot(times, boundary.start, boundary.end, boundary.kind, place, size)
        start = boundary.end


def _shot(
    times: FrameTimes,
    start: int,
    end: int,
    kind: str,
    place: tuple[int, int, int],
    size: tuple[int, int],
    max_duration_s: float = 0,
) -> Shot:
    """Return the row of a span. `place`: the index of the shot, of the piece, and the number of pieces."""
    origin, start_pts, end_pts = times.pts(0), times.pts(start), times.end_pts(end)
    if max_duration_s:  # the last frame may be shown for longer
        end_pts = min(end_pts, start_pts + max(1, int(Fraction(max_duration_s) / times.time_base)))
    return Shot(
        start_pts=start_pts,
        end_pts=end_pts,
        start_frame=start,
        end_frame=end,
        frames=end - start,
        start_s=ticks_to_seconds(start_pts - origin, times.time_base),
        end_s=ticks_to_seconds(end_pts - origin, times.time_base),
        duration_s=ticks_to_seconds(end_pts - start_pts, times.time_base),
        width_px=size[0],
        height_px=size[1],
        kind=kind,
        shot=place[0],
        piece=place[1],
        pieces=place[2],
    )
