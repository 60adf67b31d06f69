"""Decoding: frames of a video in presentation order, with exact times, and their pixels upright.

Every failure that is the file's own is an `Unreadable`, whose message says what a user can understand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

from stages.media.bounds import most_ticks, step_too_long
from stages.media.container import open_container, raise_if_ours, shown_stream
from stages.media.errors import Unreadable, Untimed
from stages.media.frame import Frame
from stages.media.orientation import is_mirrored, turns_of
from stages.media.quantizer import ASKED
from stages.media.timecode import clock, seconds_of

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

_COUNTED = {"avi", "h264", "hevc", "m4v", "mpegvideo"}  # containers that carry no presentation times
_INDEXED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # that say where which time is found


class Video:
    """An open video: what its header says, and its frames. Made by `open_video`."""

    def __init__(self, uri: str, threads: int, vectors: bool = False) -> None:
        self.uri, self.threads, self._vectors = uri, threads, vectors
        self._scalers: dict[object, VideoReformatter] = {}
        self._open()
        self.time_base = Fraction(self.stream.time_base)
        self.coded_width_px, self.coded_height_px = self.stream.width, self.stream.height

    @property
    def fps(self) -> Fraction:
        """The average frame rate that the header gives; 25 where it gives none."""
        for rate in (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate):
            if rate and 0 < rate <= 1000:
                return Fraction(rate)
        return Fraction(25)

    @property
    def sample_aspect(self) -> Fraction:
        """Width of a coded pixel over its height."""
        aspect = self.stream.sample_aspect_ratio
        return Fraction(aspect) if aspect and aspect > 0 else Fraction(1)

    def shown_size(self, turns: int) -> tuple[int, int]:
        """Width and height in pixels as a player shows them: after sample aspect ratio and rotation."""
        width, height = max(1, round(self.coded_width_px * self.sample_aspect)), self.coded_height_px
        return (height, width) if turns % 2 else (width, height)

    def frames(self, start_pts: int | None = None, end_pts: int | None = None) -> Iterator[Frame]:
        """The frames with start_pts <= pts < end_pts, in order, pts strictly increasing.

        A frame whose time is missing, or not after the one before, gets the time at which the
        stream's rate puts it; a span of such a file is found by decoding from the beginning.

        Raises:
            Unreadable: decoding fails; the message says after what time.
        """
        after = start_pts
        for frames in self._ways_to(start_pts):
            try:
                for frame in frames:
                    if end_pts is not None and frame.pts >= end_pts:
                        return
                    if after is None or frame.pts >= after:
                        yield frame
                        after = frame.pts + 1
                return
            except Untimed:
                continue

    def span(self, entry_pts: int | None, start_pts: int | None, end_pts: int | None) -> Iterator[Frame]:
        """The frames from a key frame near `entry_pts` (None: from the first) up to `end_pts`, none repaired.

        The key frame is meant to lie before `entry_pts`; whoever needs that looks at its time. `reached`
        counts the packets from `start_pts` on.

        Raises:
            Untimed: the file cannot be searched by time, or the times of its frames are not to be trusted.
            Unreadable: decoding fails.
        """
        if self.container.format.name not in _INDEXED:
            raise Untimed("the container has no index")
        self._window = start_pts, end_pts
        entered = False
        for frame in self._decoded(repair=False) if entry_pts is None else self._from(entry_pts):
            entered = entered or (bool(frame.raw.key_frame) and not frame.raw.is_corrupt)
            if end_pts is not None and frame.pts >= end_pts:
                return
            if entered or entry_pts is None:  # else it leans on what lies before the key frame
                yield frame

    @property
    def reached(self) -> tuple[int, float]:
        """How many packets of the stream were read, and where the last one of any stream ends, in seconds."""
        ends = ((ticks, self.container.streams[number].time_base) for number, ticks in self._ends.items())
        return self._packets, max((seconds_of(t, base) for t, base in ends if base), default=0.0)

    def check_whole(self, reached: tuple[int, float] | None = None) -> None:
        """Ask after the last frame whether the file held what its header says.

        Args:
            reached: by all readers together, where several shared the video.

        Raises:
            Unreadable: more than a tenth is missing; a copy or a recording that broke off.
        """
        packets, end_s = reached or self.reached
        reached_s = end_s - (self.container.start_time or 0) / 1e6
        length_s = (self.container.duration or 0) / 1e6
        if packets < 0.9 * (self.stream.frames or 0) - 3:
            raise Unreadable(f"the file is cut short: {packets} of {self.stream.frames} frames are there")
        if reached_s < 0.9 * length_s - 1:
            raise Unreadable(f"the file is cut short: it ends at {clock(reached_s)} of {clock(length_s)}")

    def close(self) -> None:
        """Let go of the file: a frame-threaded decoder left before its end hangs unless flushed first."""
        for stream in self.container.streams.video:
            if stream.codec_context is not None:
                stream.codec_context.flush_buffers()
        self.container.close()
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        self._fresh = True
        self._window: tuple[int | None, int | None] = None, None  # pts of the packets that are counted
        self._packets = 0  # of the stream
        self._ends: dict[int, int] = {}  # of each stream: the end of its last packet, in its ticks
        self.container, self._file = open_container(self.uri)
        try:
            self.stream = shown_stream(self.container)
        except Unreadable:
            self.close()
            raise
        context = self.stream.codec_context
        context.thread_type = "FRAME" if self.threads > 1 else "NONE"
        context.thread_count = self.threads
        context.options = context.options | ASKED | ({"flags2": "+export_mvs"} if self._vectors else {})

    def _ways_to(self, pts: int | None) -> Iterator[Iterator[Frame]]:
        """Runs of frames that hold the one at `pts`: from the key frame before it, or from the start."""
        if pts is not None and self.container.format.name not in _COUNTED:
            for margin_s in (0, 10):
                frames = self._from(pts - round(margin_s / self.time_base))
                try:
                    first = next(frames, None)
                except Unreadable:
                    continue
                if first is not None and _is_entry(first, pts):
                    yield chain((first,), frames)
                    break
        if not self._fresh:
            self.close()
            self._open()
        yield self._decoded(repair=True)

    def _from(self, pts: int) -> Iterator[Frame]:
        """The frames from the last key frame at or before `pts` on."""
        import av

        self._fresh, self._packets, self._ends = False, 0, {}
        try:
            self.container.seek(pts, stream=self.stream)
        except av.error.FFmpegError as error:
            raise Untimed("the file cannot be searched by time") from error
        yield from self._decoded(repair=False)

    def _decoded(self, repair: bool) -> Iterator[Frame]:
        """All frames from here on; without `repair`, raises `Untimed` at the first one that needs it."""
        import av

        self._fresh = False
        step = 1 / (self.fps * self.time_base)
        whole, origin, last = max(1, round(step)), self.stream.start_time or 0, None
        most, mirrored = most_ticks(self.time_base), False
        counted = self.container.format.name in _COUNTED
        try:
            for number, raw in enumerate(self._raw()):
                pts = origin + round(number * step) if counted else raw.pts
                if pts is None or (last is not None and pts <= last):
                    if not repair:
                        raise Untimed("the times of its frames are missing or run backwards")
                    pts = origin if last is None else last + whole
                lasts = raw.duration if raw.duration and raw.duration > 0 else whole
                if lasts > most or (last is not None and pts - last > most):
                    raise step_too_long(pts if last is None else last, pts + lasts, self.time_base)
                mirrored = is_mirrored(raw) if last is None else mirrored
                last = pts
                yield Frame(pts, lasts, turns_of(raw.rotation, mirrored), raw, self._scalers)
        except av.error.FFmpegError as error:
            raise_if_ours(error)
            done = (
                "before the first frame"
                if last is None
                else f"after {clock(seconds_of(last, self.time_base))}"
            )
            raise Unreadable(f"decoding failed {done}: {error.strerror}") from error

    def _raw(self) -> Iterator["av.VideoFrame"]:
        first, after = self._window
        for packet in self.container.demux():
            if packet.stream is self.stream:
                early = first is not None and packet.pts is not None and packet.pts < first
                late = after is not None and packet.pts is not None and packet.pts >= after
                self._packets += not early and not late
                yield from packet.decode()  # type: ignore[misc]
            if packet.pts is not None:
                end, number = packet.pts + (packet.duration or 0), packet.stream_index
                if end > self._ends.get(number, 0):
                    self._ends[number] = end


def _is_entry(first: Frame, pts: int) -> bool:
    """Whether the frames up to `pts` can be decoded from here on.

    Some files decode whole only from their very beginning (4:4:4 by an early x264, which says so in its first
    packet); elsewhere the decoder marks what it gives as corrupt.
    """
    return bool(first.raw.key_frame) and not first.raw.is_corrupt and first.pts <= pts


@contextmanager
def open_video(uri: str, threads: int = 1, *, vectors: bool = False) -> Iterator[Video]:
    """Open the first video stream of a path or URL that is not a cover picture.

    Args:
        threads: of the decoder; the frames are the same for any number.
        vectors: keep the codec's motion vectors with each frame.

    Raises:
        Unreadable: the file is gone, empty, not a video, or has no video stream.
    """
    video = Video(uri, threads, vectors)
    try:
        yield video
    finally:
        video.close()


def frames(
    uri: str, start_pts: int | None = None, end_pts: int | None = None, *, threads: int = 1
) -> Iterator[Frame]:
    """The frames of a span of a video, found by seeking to the key frame before it; see `Video.frames`."""
    with open_video(uri, threads) as video:
        yield from video.frames(start_pts, end_pts)
