"""Finds the time that all cameras of a recording show, and the shots in it, which no camera cuts."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Annotated, NamedTuple

from manifests import Range, Row, column
from manifests.messages import join_names
from pipeline import AnnotateGroups, Reject
from stages.shots.boundary import Boundary, select_boundaries

NANOSECONDS = 10**9  # per second
MERGED_S = Fraction(1, 10)  # boundaries of several cameras that are not farther apart are one


class ScoredCamera(Row):
    recording: str
    recording_cameras: tuple[str, ...]
    camera_name: str
    camera_start_s: float
    time_base_num: int
    time_base_den: int
    first_pts: int
    scanned_end_pts: int
    boundary_starts: tuple[int, ...]
    boundary_ends: tuple[int, ...]
    boundary_start_pts: tuple[int, ...]
    boundary_end_pts: tuple[int, ...]
    boundary_kinds: tuple[str, ...]
    boundary_scores: tuple[float, ...]
    clock_jumps: tuple[int, ...] = ()


class CommonSpans(Row):
    common_starts_ns: tuple[int, ...] = column(
        "per span that all cameras show: start on the clock of the recording, in order of time", unit="ns"
    )
    common_ends_ns: tuple[int, ...] = column("end of each span", unit="ns")
    common_kinds: tuple[str, ...] = column(
        "shot; or cut, dissolve, fade or wipe, for the time between two shots in at least one camera"
    )


class Span(NamedTuple):
    """A part of a recording, in seconds of its clock."""

    start: Fraction
    end: Fraction
    kind: str


class AlignCameras(AnnotateGroups[ScoredCamera, CommonSpans]):
    """Finds the spans of a recording that all of its cameras show without a cut.

    A camera's first frame is at `camera_start_s` on the clock of the recording, and the other frames follow
    by their times in the file. A boundary in one camera is a boundary for all. Boundaries of several cameras
    within 0.1 s are one.

    Rejected are all cameras of a recording if one is missing, if they have no common time, or if the clock of
    a file jumps, because its frames then have no time on the clock of the recording.

    Attributes:
        min_cut_score: Minimum score of a cut in any camera, 0.05 to 1. Higher values find fewer cuts.
        min_transition_score: Minimum score of a dissolve, fade or wipe, 0.05 to 1. Higher values find fewer
            transitions.
    """

    group_by = "recording"

    min_cut_score: Annotated[float, Range(0.05, 1)] = 0.5
    min_transition_score: Annotated[float, Range(0.05, 1)] = 0.5

    def annotate(self, rows: Sequence[ScoredCamera]) -> Iterator[CommonSpans | Reject]:
        try:
            spans = self._common_spans(rows)
        except Reject as reason:
            yield from (reason for _ in rows)
            return
        common = CommonSpans(
            common_starts_ns=tuple(round(span.start * NANOSECONDS) for span in spans),
            common_ends_ns=tuple(round(span.end * NANOSECONDS) for span in spans),
            common_kinds=tuple(span.kind for span in spans),
        )
        yield from (common for _ in rows)

    def _common_spans(self, rows: Sequence[ScoredCamera]) -> list[Span]:
        """The spans in order of time.

        Raises:
            Reject: The cameras cannot be aligned.
        """
        missing = [name for name in rows[0].recording_cameras if name not in {r.camera_name for r in rows}]
        if missing:
            raise Reject(
                f"the recording lacks {_cameras(missing)}, which an earlier step dropped or rejected"
            )
        if jumping := [row.camera_name for row in rows if row.clock_jumps]:
            raise Reject(f"the clock jumps in the file of {_cameras(jumping)}")
        start = max(camera_time(row, row.first_pts) for row in rows)
        end = min(camera_time(row, row.scanned_end_pts) for row in rows)
        if start >= end:
            raise Reject(
                f"the cameras have no common time: the last one starts at {float(start):g} s, and the "
                f"first one ends at {float(end):g} s"
            )
        return list(_split(start, end, merge(b for row in rows for b in self._boundaries(row))))

    def _boundaries(self, row: ScoredCamera) -> Iterator[Span]:
        columns = zip(
            row.boundary_starts, row.boundary_ends, row.boundary_kinds, row.boundary_scores, strict=True
        )
        candidates = [Boundary(*values) for values in columns]
        pts = dict(zip(row.boundary_starts, row.boundary_start_pts, strict=True))
        pts |= dict(zip(row.boundary_ends, row.boundary_end_pts, strict=True))
        for boundary in select_boundaries(candidates, self.min_cut_score, self.min_transition_score):
            start, end = (camera_time(row, pts[frame]) for frame in (boundary.start, boundary.end))
            yield Span(start, end, boundary.kind)


def camera_time(row: ScoredCamera, pts: int) -> Fraction:
    """The time of a pts of a camera on the clock of the recording, in seconds."""
    start = Fraction(row.camera_start_s).limit_denominator(NANOSECONDS)
    return start + (pts - row.first_pts) * Fraction(row.time_base_num, row.time_base_den)


def merge(boundaries: Iterable[Span]) -> list[Span]:
    """Boundaries of all cameras in order of time; those within `MERGED_S` of each other become one."""
    merged: list[Span] = []
    for boundary in sorted(boundaries):
        if merged and boundary.start <= merged[-1].end + MERGED_S:
            last = merged.pop()
            kind = boundary.kind if last.kind == "cut" else last.kind
            boundary = Span(last.start, max(last.end, boundary.end), kind)
        merged.append(boundary)
    return merged


def _split(start: Fraction, end: Fraction, boundaries: Sequence[Span]) -> Iterator[Span]:
    """The shots and transitions between two times, without holes."""
    position = start
    for boundary in [*boundaries, Span(end, end, "end")]:
        first, last = (min(max(time, position), end) for time in (boundary.start, boundary.end))
        if first > position:
            yield Span(position, first, "shot")
        if last > first:
            yield Span(first, last, boundary.kind)
        position = last


def _cameras(names: Sequence[str]) -> str:
    return f"the camera{'s' * (len(names) > 1)} {join_names(names)}"
