"""A shot, or a piece of one, as a row: its exact span, and how long shots fall into even pieces."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from manifests import Row, column
from stages.media.timecode import seconds_of
from stages.shots.boundary import Boundary


class Shot(Row):
    start_pts: int = column("pts of the first frame, in ticks of the video's time base", key=True)
    end_pts: int = column("first tick after the last frame", key=True)
    start_frame: int = column("index of the first frame in the video", by_id=True)
    end_frame: int = column("index after the last frame", by_id=True)
    frames: int = column("frames of the clip", by_id=True)
    start_s: float = column("start, from the first frame of the video", unit="s", by_id=True)
    end_s: float = column("end, from the first frame of the video", unit="s", by_id=True)
    duration_s: float = column("length of the clip", unit="s", by_id=True)
    kind: str = column("shot; or dissolve, fade, wipe: the frames between two shots, which belong to neither")
    shot: int = column("number of its shot in the video, from 0; of the shot before, for what lies between")
    piece: int = column("number of the piece in its shot, from 0")
    pieces: int = column("pieces that the shot was split into")


class Film:
    """The times of a video's frames, of which the detectors know only the numbers."""

    def __init__(
        self, frames: int, base: Fraction, pts: Callable[[], np.ndarray], edges: dict[int, int]
    ) -> None:
        """`pts` gives the times of all frames and of the end; asked only where `edges` does not know one."""
        self.frames, self.base, self._pts, self._edges = frames, base, pts, edges

    def tick(self, frame: int) -> int:
        """The pts of a frame; of the end, for the number of frames."""
        return self._edges[frame] if frame in self._edges else int(self._pts()[frame])

    def even(self, start: int, end: int, max_duration_s: float) -> list[int]:
        """Frames at which the fewest pieces of equal length begin that are not longer; and the end."""
        first, last = self.tick(start), self.tick(end)
        count = 1
        if max_duration_s:
            most, per = float(
                max_duration_s
            ).as_integer_ratio()  # whole numbers: exact, and quicker than fractions
            count = max(1, -((first - last) * self.base.numerator * per // (self.base.denominator * most)))
        if count == 1:
            return [start, end]
        wanted = [first + (last - first) * k // count for k in range(1, count)]
        inner = start + np.searchsorted(self._pts()[start : end + 1], wanted)
        return sorted({start, *(int(f) for f in inner if start < f < end), end})


def shots_between(film: Film, boundaries: Sequence[Boundary], max_duration_s: float) -> Iterator[Shot]:
    """The video, without holes, as shots and what lies between them.

    In this order: the frames of transitions are set apart; what is left between two boundaries is a
    shot; a shot longer than `max_duration_s` is split evenly (0 leaves it whole). None is dropped here.
    """
    number, at = 0, 0
    for boundary in [*boundaries, Boundary(film.frames, film.frames, "end", 1.0)]:
        if boundary.start > at:
            starts = film.even(at, boundary.start, max_duration_s)
            for piece, (first, last) in enumerate(pairwise(starts)):
                yield _row(film, first, last, "shot", number, piece, len(starts) - 1)
            number += 1
        if boundary.end > boundary.start:
            yield _row(film, boundary.start, boundary.end, boundary.kind, max(0, number - 1), 0, 1)
        at = boundary.end


def _row(film: Film, start: int, end: int, kind: str, shot: int, piece: int, pieces: int) -> Shot:
    origin, start_pts, end_pts = film.tick(0), film.tick(start), film.tick(end)
    return Shot(
        start_pts=start_pts,
        end_pts=end_pts,
        start_frame=start,
        end_frame=end,
        frames=end - start,
        start_s=seconds_of(start_pts - origin, film.base),
        end_s=seconds_of(end_pts - origin, film.base),
        duration_s=seconds_of(end_pts - start_pts, film.base),
        kind=kind,
        shot=shot,
        piece=piece,
        pieces=pieces,
    )
