"""Spans: how a long video is shared out, and whether what is seen of the spans is what one pass would see.

A span is read from a key frame well before it, so that the decoder and the meters are warm when it begins.
That this was enough is not believed but looked at: the last picture before a span is to be, byte for byte,
the last one of the span before. Where it is not, the video is scanned in one piece.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import floor

from manifests import Artifact, Row, column
from stages.media.bounds import LONGEST_S
from stages.media.decode import Video
from stages.media.errors import Unreadable, Untimed
from stages.media.frame import Frame
from stages.media.timecode import seconds_of, ticks_of
from stages.scan.meter import View, small_size

WARM_S = 2.0  # from the first frame decoded to the last before a span; meters remember no longer
REACHES_S = (WARM_S, 8.0, 32.0, 128.0)  # how far before a span a key frame is looked for, until it is warm
FAR_S = 120.0  # a key frame that lies farther back than was asked for costs more than sharing saves


class Span(Row):
    first_pts: int | None = column("of the first frame of the video; missing where the span is all of it")
    turns: int = column("quarter turns counterclockwise that put the first frame upright")
    start_pts: int | None = column("first tick of the span; missing in the first one")
    end_pts: int | None = column("tick after the span; missing in the last one")

    @property
    def is_whole(self) -> bool:
        return self.first_pts is None


WHOLE = Span(first_pts=None, turns=0, start_pts=None, end_pts=None)


class Seen(Row):
    before: str = column("pts and digest of the frame before the span", default="")
    after: str = column(
        "pts and digest of the last frame before its end; empty: the span was not found", default=""
    )
    refusal: str = column("why decoding failed, if it did", default="")
    frames: int = column("frames of the span", default=0)
    end_pts: int = column("tick after the last frame", default=0)
    end_s: float = column("from the video's first frame to that tick", unit="s", default=0.0)
    shortest: int = column(
        "least time from one frame to the next, in ticks; 0 where there are no two", default=0
    )
    longest: int = column("most time from one frame to the next, in ticks", default=0)
    packets: int = column("packets of the stream that belong to the span", default=0)
    reached_s: float = column("where the last packet that was read ends", unit="s", default=0.0)
    signals: Artifact | None = column("one row per frame of the span", default=None)
    strip: Artifact | None = column("stills of the span", default=None)
    strip_times_s: tuple[float, ...] = column(
        "time of each still since the video's first frame", unit="s", default=()
    )
    strip_offsets: tuple[int, ...] = column(
        "first byte of each still in this strip", unit="bytes", default=()
    )


def spans_of(video: Video, span_s: float) -> list[Span]:
    """The spans of a video, of `span_s` each, but for the last one: half of it to one and a half.

    A video without a length in its header, or with an absurd one, is one span, and so is one whose times
    are not to be trusted.

    Raises:
        Unreadable: the first frame does not decode.
    """
    ticks = video.stream.duration
    length_s = seconds_of(ticks, video.time_base) if ticks else (video.container.duration or 0) / 1e6
    count = round(length_s / span_s) if span_s > 0 else 1
    if count < 2 or length_s > LONGEST_S:
        return [WHOLE]
    try:
        first = next(video.span(None, None, None), None)
    except Untimed:
        first = None
    if first is None:
        return [WHOLE]
    seams = [first.pts + ticks_of(k * span_s, video.time_base) for k in range(1, count)]
    ends = zip([None, *seams], [*seams, None], strict=True)
    return [Span(first_pts=first.pts, turns=first.turns, start_pts=a, end_pts=b) for a, b in ends]


def agree(spans: Sequence[Seen]) -> bool:
    """Whether each span goes on where the one before ended, without a hole, an overlap or another picture.

    Raises:
        Unreadable: as one pass would have, at the same place.
    """
    end = ""
    for seen in spans:
        if seen.before != end:
            return False
        if seen.refusal:
            raise Unreadable(seen.refusal)
        if not seen.after:
            return False
        end = seen.after
    return True


class Watch:
    """What has been seen of a span so far."""

    def __init__(self, video: Video, span: Span, stills_per_s: float) -> None:
        self.video, self.span, self.stills_per_s = video, span, stills_per_s
        self.small = small_size(video.coded_width_px, video.coded_height_px)
        self.first_pts, self.turns = span.first_pts, span.turns
        self.before, self.frames, self.end_pts, self.shortest, self.longest = "", 0, 0, 0, 0
        self.strip_times_s: list[float] = []
        self.strip_offsets: list[int] = []
        self._last: Frame | None = None

    def frames_from(self, reach_s: float) -> Iterator[tuple[Frame, View, bool, bool]]:
        """The frames from about `reach_s` before the span on: as coded, and as the meters see them.

        With each, whether it belongs to the span, and whether a still is due: at the first frame at or
        after each 1 / `stills_per_s`.

        Raises:
            Cold: the span has begun, and the meters have not seen enough before it.
            Untimed: the span is not found by time.
            Unreadable: decoding fails.
        """
        base, entry = self.video.time_base, None
        for found in self._decoded(reach_s):
            entry = found.pts if entry is None else entry
            if self.first_pts is None:
                self.first_pts, self.turns = found.pts, found.turns
            frame = (
                found if found.turns == self.turns else replace(found, turns=self.turns)
            )  # as the first is
            before, self._last = self._last, frame
            time_s, gap = seconds_of(frame.pts - self.first_pts, base), 0
            due = before is None
            if before is not None:
                gap = frame.pts - before.pts
                before_s = seconds_of(before.pts - self.first_pts, base)
                due = floor(time_s * self.stills_per_s) > floor(before_s * self.stills_per_s)
            within = self.span.start_pts is None or frame.pts >= self.span.start_pts
            if within:
                if not self.frames:
                    self._begin(before, entry)
                self.frames, self.end_pts = self.frames + 1, frame.pts + frame.duration
                if gap:
                    self.shortest, self.longest = min(self.shortest or gap, gap), max(self.longest, gap)
            yield frame, View(frame, time_s, seconds_of(gap, base), self.small), within, due

    def _decoded(self, reach_s: float) -> Iterator[Frame]:
        span, base = self.span, self.video.time_base
        if span.is_whole:
            yield from self.video.frames()
        elif span.start_pts is None:
            yield from self.video.span(None, None, span.end_pts)
        else:
            wanted = span.start_pts - ticks_of(reach_s, base)
            for number, frame in enumerate(self.video.span(wanted, span.start_pts, span.end_pts)):
                if number == 0 and wanted - frame.pts > ticks_of(FAR_S, base):
                    raise Untimed("its key frames are too far apart")
                yield frame

    def _begin(self, before: Frame | None, entry: int) -> None:
        """Before the first frame of the span: is there enough before it?"""
        if self.span.start_pts is None:
            return
        if before is None or (
            entry != self.first_pts and seconds_of(before.pts - entry, self.video.time_base) < WARM_S
        ):
            raise Cold
        self.before = _mark(before)

    def seen(self, refusal: str = "") -> Seen:
        """All of it, but for the files."""
        after = "" if self.span.is_whole or self._last is None else _mark(self._last)
        packets, reached_s = self.video.reached
        return Seen(
            before=self.before if self.frames or self.span.start_pts is None else after,
            after=after,
            refusal=refusal,
            frames=self.frames,
            end_pts=self.end_pts,
            end_s=seconds_of(self.end_pts - (self.first_pts or 0), self.video.time_base),
            shortest=self.shortest,
            longest=self.longest,
            packets=packets,
            reached_s=reached_s,
            strip_times_s=tuple(self.strip_times_s),
            strip_offsets=tuple(self.strip_offsets),
        )


class Cold(Exception):
    """A span has begun before the meters had seen enough."""


def _mark(frame: Frame) -> str:
    return f"{frame.pts} {hashlib.sha256(frame.pixels()).hexdigest()}"
