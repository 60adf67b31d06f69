"""Times of the frames of a cut clip: the frame rate, and which frame is shown when."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline import Reject
from stages.media.decoding.frame import Frame
from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import Video

if TYPE_CHECKING:
    import av


class CountedSpan:
    """The first, the last and the number of frames of a span, updated during iteration.

    Raises:
        Reject: Size, pixel aspect or dynamic range change within the span.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.first = self.last = next(frames, None)
        self.count = 0

    def __iter__(self) -> Iterator[Frame]:
        if self.first is not None:
            self.count = 1
            yield self.first
        for frame in self._frames:
            if self.first is not None and frame.picture_format != self.first.picture_format:
                raise Reject(
                    f"the picture changes from {self.first.picture_format} to {frame.picture_format} at pts "
                    f"{frame.pts}: cut the clip there"
                )
            self.count, self.last = self.count + 1, frame
            yield frame


def average_rate(video: Video, start_pts: int, end_pts: int, frames: int) -> Fraction:
    """The rate in the header, if it implies the `frames` of the span to within one; else that of the span."""
    duration_s = (end_pts - start_pts) * video.time_base
    if abs(duration_s * video.fps - frames) <= 1:
        return video.fps
    return (frames / duration_s).limit_denominator(1001)


def frames_at_own_times(
    span: Iterable[Frame], start_pts: int, end_pts: int, size: tuple[int, int], keep_hdr: bool = False
) -> Iterator["av.VideoFrame"]:
    """The frames at their own times, each shown until the next: durations in the source may be wrong."""
    last: tuple[int, av.VideoFrame] | None = None
    for frame in span:
        pts = frame.pts - start_pts
        if last is not None:
            last[1].duration = pts - last[0]
            yield last[1]
        last = pts, to_yuv420p(frame, *size, keep_hdr)
        last[1].pts = pts
    if last is not None:
        last[1].duration = end_pts - start_pts - last[0]
        yield last[1]


def nearest_frames(frames: Iterable[Frame], start: int, end: int, step: Fraction) -> Iterator[Frame]:
    """The nearest frame for each time start + k * step in the span, which has a whole number of steps."""
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
