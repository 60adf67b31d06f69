"""Cut a kept clip out of its source, frame-exact at both ends and upright, and encode it with x264; no sound.

With `fps` 0, a source of constant rate gives each frame of the span once. Where the rate varies, or `fps`
asks for another, the clip shows at k / fps seconds, for each whole k inside the span, the nearest frame.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from io import BytesIO

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.decode import Video, open_video
from stages.media.encode import write_mp4
from stages.media.frame import Frame
from stages.media.uri import open_uri

_TRUSTED = Fraction(1, 100)  # by which a header's frame rate may differ from the one counted in the span


class KeptClip(Row):
    uri: str
    size_bytes: int
    variable_rate: bool
    start_pts: int
    end_pts: int
    start_frame: int
    end_frame: int


class CutOut(Row):
    clip: Artifact = column("the clip as an mp4 file: H.264, yuv420p, constant rate, no sound")
    clip_width_px: int = column("width of the clip", unit="px")
    clip_height_px: int = column("height of the clip", unit="px")
    clip_frames: int = column("frames of the clip")
    clip_fps: float = column("frame rate of the clip", unit="1/s")
    clip_duration_s: float = column("length of the clip: frames over frame rate", unit="s")


class CutClip(Annotate[KeptClip, CutOut]):
    """One thread of x264, so that the same frames give the same bytes.

    Rejected: a source that is gone, that has another size than when it was listed, or that gives other frames
    than when it was scanned.
    """

    crf: int = 18  # x264's constant quality: 0 is lossless, 51 worst
    preset: str = "veryfast"  # x264's trade of time against size
    short_side_px: int = 0  # shrink to this, and never enlarge; 0 keeps the size
    fps: float = 0.0  # frames per second; 0 keeps the source's average

    needs = Needs(cpus=1, memory_gb=1)

    def annotate(self, rows: Sequence[KeptClip]) -> Iterator[CutOut | Reject]:
        for row in rows:
            try:
                yield self._cut(row)
            except Reject as reject:
                yield reject

    def _cut(self, row: KeptClip) -> CutOut:
        _check_size(row)
        with open_video(row.uri) as video:
            span = _Span(video.frames(row.start_pts, row.end_pts))
            if span.first is None:
                raise Reject("the source has no frames in this span any more")
            fps = Fraction(self.fps).limit_denominator(1001) if self.fps else _rate(video, row)
            wide, high = self._size(*video.shown_size(span.first.turns))
            shown: Iterable[Frame] = span
            if self.fps or row.variable_rate:
                shown = _paced(span, row.start_pts, row.end_pts, 1 / (fps * video.time_base))
            out = BytesIO()
            frames = write_mp4(out, _pictures(shown, wide, high), fps, crf=self.crf, preset=self.preset)
        if span.count != (scanned := row.end_frame - row.start_frame):
            raise Reject(f"the source gives {span.count} frames in this span, where the scan saw {scanned}")
        return CutOut(
            clip=Artifact.of(out.getvalue(), ".mp4"),
            clip_width_px=wide // 2 * 2,
            clip_height_px=high // 2 * 2,
            clip_frames=frames,
            clip_fps=float(fps),
            clip_duration_s=float(frames / fps),
        )

    def _size(self, wide: int, high: int) -> tuple[int, int]:
        """The size to scale to; of an odd side kept, the encoder leaves out the last line."""
        if not 0 < self.short_side_px < min(wide, high):
            return wide, high
        scale = Fraction(self.short_side_px, min(wide, high))
        return max(2, round(wide * scale / 2) * 2), max(2, round(high * scale / 2) * 2)


class _Span:
    """The frames of a span, counted while they pass."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.first = next(frames, None)
        self.count = 0

    def __iter__(self) -> Iterator[Frame]:
        if self.first is not None:
            self.count = 1
            yield self.first
        for frame in self._frames:
            self.count += 1
            yield frame


def _check_size(row: KeptClip) -> None:
    """Refuse a source that is not of the size it was listed with, before it is decoded for nothing."""
    try:
        with open_uri(row.uri) as file:
            size = file.seek(0, 2)
    except FileNotFoundError as error:
        raise Reject("the source is gone") from error
    if size != row.size_bytes:
        raise Reject(f"the source has changed: {size} bytes, {row.size_bytes} when it was listed")


def _rate(video: Video, row: KeptClip) -> Fraction:
    """The header's average rate where the span bears it out, else the span's own."""
    seconds = (row.end_pts - row.start_pts) * video.time_base
    frames = row.end_frame - row.start_frame
    if abs(seconds * video.fps - frames) <= max(Fraction(1), frames * _TRUSTED):
        return video.fps
    return (frames / seconds).limit_denominator(1001)


def _paced(frames: Iterable[Frame], start: int, end: int, step: Fraction) -> Iterator[Frame]:
    """For each time start + k * step inside the span, of a whole number of steps, the nearest frame."""
    steps, done = max(1, round((end - start) / step)), 0
    last: Frame | None = None
    for frame in frames:
        while last is not None and done < steps and 2 * (start + done * step) < last.pts + frame.pts:
            yield last
            done += 1
        last = frame
    while last is not None and done < steps:
        yield last
        done += 1


def _pictures(frames: Iterable[Frame], wide: int, high: int) -> Iterator[np.ndarray]:
    """The pixels of each frame; of a frame that is shown several times in a row, made once."""
    last: Frame | None = None
    picture = np.empty(0)
    for frame in frames:
        if frame is not last:
            last, picture = frame, frame.pixels("rgb24", wide, high)
        yield picture
