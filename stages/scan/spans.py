"""Spans of a long video, which several workers scan, and the check that they equal a scan in one pass.

A span is decoded from a key frame well before it, so that the decoder and the meters are warm when it begins.
This is verified: the last frame before a span must be, byte for byte, the last frame of the previous span.
Otherwise the video is scanned as a whole.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import floor

from manifests import Artifact, Row, column
from stages.media.decoding.color import differs_from_bt709
from stages.media.decoding.frame import Frame
from stages.media.decoding.limits import MAX_DURATION_S
from stages.media.decoding.video import Video
from stages.media.errors import NotSeekable, UnreadableFile
from stages.media.timecode import seconds_to_ticks, ticks_to_seconds
from stages.scan.meter import FrameView, small_size

WARM_UP_S = 2.0  # from the first decoded frame to the last before a span; meters remember no longer
LEAD_INS_S = (WARM_UP_S, 8.0, 32.0, 128.0)  # how far before a span a key frame is searched, until it is warm
MAX_HDR_SIDE_PX = 1024  # HDR and wide-gamut frames are scaled to this before the slow conversion to BT.709
MAX_DETOUR_S = 120.0  # a key frame this much before the searched one costs more than parallel scans save


class Span(Row):
    first_pts: int | None = column(
        "first frame of the video; missing if the span is the whole video", unit="ticks"
    )
    orientation: int = column("orientation of the first frame, as in `Frame.orientation`")
    start_pts: int | None = column("first tick of the span; missing in the first span", unit="ticks")
    end_pts: int | None = column("tick after the span; missing in the last span", unit="ticks")

    @property
    def is_whole(self) -> bool:
        return self.first_pts is None


WHOLE_VIDEO = Span(first_pts=None, orientation=0, start_pts=None, end_pts=None)


class SpanScan(Row):
    previous_frame: str = column("pts and digest of the last frame before the span", default="")
    last_frame: str = column(
        "pts and digest of the last frame of the span; empty if the span was not found", default=""
    )
    error: str = column("why decoding failed; empty if it did not", default="")
    frames: int = column("number of frames of the span", unit="frames", default=0)
    end_pts: int = column("end of the last frame", unit="ticks", default=0)
    end_s: float = column("end of the last frame since the video's first frame", unit="s", default=0.0)
    min_gap: int = column(
        "shortest time between consecutive frames; 0 if there are no two frames", unit="ticks", default=0
    )
    max_gap: int = column("longest time between consecutive frames", unit="ticks", default=0)
    packets: int = column("packets of the video stream that belong to the span", default=0)
    read_end_s: float = column("end of the last packet that was read", unit="s", default=0.0)
    signals: Artifact | None = column("one row per frame of the span", default=None)
    strip: Artifact | None = column("stills of the span", default=None)
    strip_times_s: tuple[float, ...] = column(
        "time of each still since the video's first frame", unit="s", default=()
    )
    strip_offsets: tuple[int, ...] = column(
        "position of the first byte of each still in this strip", unit="bytes", default=()
    )
    format_changes: tuple[int, ...] = column(
        "frames of the span whose size, pixel aspect or dynamic range is new", default=()
    )
    format_widths_px: tuple[int, ...] = column("display width after each change", unit="px", default=())
    format_heights_px: tuple[int, ...] = column("display height after each change", unit="px", default=())
    clock_jumps: tuple[int, ...] = column("first frames of the span after a jump of the clock", default=())
    clock_jump_end_pts: tuple[int, ...] = column(
        "end of the frame before each jump", unit="ticks", default=()
    )
    time_repair: str = column("none, joined or counted: as in `Video.time_repair`", default="none")


def plan_spans(video: Video, span_s: float) -> list[Span]:
    """Split a video into spans of `span_s` seconds; the last one has half to one and a half of that.

    A video without a length in its header, with an absurd length, or with unreliable frame times is one span.

    Raises:
        UnreadableFile: The first frame does not decode.
    """
    ticks = video.stream.duration
    length_s = ticks_to_seconds(ticks, video.time_base) if ticks else (video.container.duration or 0) / 1e6
    count = round(length_s / span_s) if span_s > 0 else 1
    if count < 2 or length_s > MAX_DURATION_S:
        return [WHOLE_VIDEO]
    try:
        first = next(video.frames_from_key_frame(None, None, None), None)
    except NotSeekable:
        first = None
    if first is None:
        return [WHOLE_VIDEO]
    seams = [first.pts + seconds_to_ticks(k * span_s, video.time_base) for k in range(1, count)]
    ends = zip([None, *seams], [*seams, None], strict=True)
    return [Span(first_pts=first.pts, orientation=first.orientation, start_pts=a, end_pts=b) for a, b in ends]


def spans_match(spans: Sequence[SpanScan]) -> bool:
    """Return whether each span starts at the very frame where the previous one ended.

    False if there is a hole, an overlap or a frame with other pixels at a seam.

    Raises:
        UnreadableFile: Decoding fails, at the same place as in one pass.
    """
    end = ""
    for span in spans:
        if span.previous_frame != end:
            return False
        if span.error:
            raise UnreadableFile(span.error)
        if not span.last_frame:
            return False
        end = span.last_frame
    return True


class SpanScanner:
    """Decodes one span and collects its times and counts.

    Attributes:
        frame_count: Number of frames of the span so far.
        has_new_format: Whether size, pixel aspect or dynamic range changed at the last frame.
        format_changes, format_sizes: Indices of such frames in the span so far, and their display sizes.
        clock_jumps, clock_jump_end_pts: Jumps of the clock in the span so far.
        strip_times_s, strip_offsets: Stills of the span so far; the caller appends to them.
    """

    def __init__(self, video: Video, span: Span, stills_per_s: float) -> None:
        self.frame_count = 0
        self.strip_times_s: list[float] = []
        self.strip_offsets: list[int] = []
        self.format_changes: list[int] = []
        self.format_sizes: list[tuple[int, int]] = []
        self.has_new_format = False
        self.clock_jumps: list[int] = []
        self.clock_jump_end_pts: list[int] = []
        self._video, self._span, self._stills_per_s = video, span, stills_per_s
        self._first_pts, self._orientation = span.first_pts, span.orientation
        self._previous_frame, self._end_pts, self._min_gap, self._max_gap = "", 0, 0, 0
        self._last: Frame | None = None

    def frames(self, lead_in_s: float) -> Iterator[tuple[Frame, FrameView, bool, bool]]:
        """Yield the frames from about `lead_in_s` before the span on: as decoded, and as a view for meters.

        With each frame: whether it belongs to the span, and whether it is a still, which is the first frame
        at or after each 1 / `stills_per_s`, or of another size, pixel aspect or dynamic range.

        Raises:
            InsufficientWarmUp: The span begins before the meters have seen enough frames.
            NotSeekable: The span cannot be found by time.
            UnreadableFile: Decoding fails.
        """
        base, entry = self._video.time_base, None
        for decoded in self._decode(lead_in_s):
            entry = decoded.pts if entry is None else entry
            if self._first_pts is None:
                self._first_pts, self._orientation = decoded.pts, decoded.orientation
            frame = decoded
            if frame.orientation != self._orientation:  # all frames are oriented like the first one
                frame = replace(decoded, orientation=self._orientation)
            previous, self._last = self._last, frame
            time_s, gap = ticks_to_seconds(frame.pts - self._first_pts, base), 0
            is_still = previous is None
            if previous is not None:
                gap = frame.pts - previous.pts
                previous_s = ticks_to_seconds(previous.pts - self._first_pts, base)
                is_still = floor(time_s * self._stills_per_s) > floor(previous_s * self._stills_per_s)
                self.has_new_format = frame.picture_format != previous.picture_format
                is_still = is_still or self.has_new_format
            is_in_span = self._span.start_pts is None or frame.pts >= self._span.start_pts
            if is_in_span:
                if not self.frame_count:
                    self._start_span(previous, entry)
                self.frame_count, self._end_pts = self.frame_count + 1, frame.pts + frame.duration
                if self.has_new_format:
                    self.format_changes.append(self.frame_count - 1)
                    self.format_sizes.append(frame.display_size)
                if previous is not None and frame.is_after_jump:
                    self.clock_jumps.append(self.frame_count - 1)
                    self.clock_jump_end_pts.append(previous.pts + previous.duration)
                elif gap:
                    self._min_gap, self._max_gap = min(self._min_gap or gap, gap), max(self._max_gap, gap)
            yield (
                frame,
                self._view(frame, time_s, ticks_to_seconds(gap, base)),
                is_in_span,
                is_still,
            )

    def _decode(self, lead_in_s: float) -> Iterator[Frame]:
        span, base = self._span, self._video.time_base
        if span.is_whole:
            yield from self._video.frames()
        elif span.start_pts is None:
            yield from self._video.frames_from_key_frame(None, None, span.end_pts)
        else:
            entry = span.start_pts - seconds_to_ticks(lead_in_s, base)
            frames = self._video.frames_from_key_frame(entry, span.start_pts, span.end_pts)
            for number, frame in enumerate(frames):
                if number == 0 and entry - frame.pts > seconds_to_ticks(MAX_DETOUR_S, base):
                    raise NotSeekable("its key frames are too far apart")
                yield frame

    def _view(self, frame: Frame, time_s: float, since_previous_s: float) -> FrameView:
        """Return the view of a frame, whose own size decides the size of the small frame."""
        raw = frame.raw
        full, thumb_source = (0, 0), small_size(*self._video.cropped_size)
        scale = MAX_HDR_SIDE_PX / max(raw.width, raw.height)
        if differs_from_bt709(raw) and scale < 1 and not raw.interlaced_frame:
            full = max(1, round(raw.width * scale)), max(1, round(raw.height * scale))
        if frame.orientation % 2:
            full, thumb_source = full[::-1], thumb_source[::-1]
        return FrameView(
            frame, time_s, since_previous_s, small_size(raw.width, raw.height), full, thumb_source
        )

    def _start_span(self, previous: Frame | None, entry: int) -> None:
        """Check, before the first frame of the span, that enough frames were decoded before it."""
        if self._span.start_pts is None:
            return
        base = self._video.time_base
        is_cold = entry != self._first_pts
        if previous is None or (is_cold and ticks_to_seconds(previous.pts - entry, base) < WARM_UP_S):
            raise InsufficientWarmUp
        self._previous_frame = _frame_digest(previous)

    def result(self, error: str = "") -> SpanScan:
        """Return the scan of the span so far, without its files."""
        last_frame = "" if self._span.is_whole or self._last is None else _frame_digest(self._last)
        packets, read_end_s = self._video.read_progress
        return SpanScan(
            previous_frame=(
                self._previous_frame if self.frame_count or self._span.start_pts is None else last_frame
            ),
            last_frame=last_frame,
            error=error,
            frames=self.frame_count,
            end_pts=self._end_pts,
            end_s=ticks_to_seconds(self._end_pts - (self._first_pts or 0), self._video.time_base),
            min_gap=self._min_gap,
            max_gap=self._max_gap,
            packets=packets,
            read_end_s=read_end_s,
            strip_times_s=tuple(self.strip_times_s),
            strip_offsets=tuple(self.strip_offsets),
            format_changes=tuple(self.format_changes),
            format_widths_px=tuple(width for width, _ in self.format_sizes),
            format_heights_px=tuple(height for _, height in self.format_sizes),
            clock_jumps=tuple(self.clock_jumps),
            clock_jump_end_pts=tuple(self.clock_jump_end_pts),
            time_repair=self._video.time_repair,
        )


class InsufficientWarmUp(Exception):
    """A span begins before the meters have seen enough frames."""


def _frame_digest(frame: Frame) -> str:
    return f"{frame.pts} {hashlib.sha256(frame.pixels().data).hexdigest()}"
