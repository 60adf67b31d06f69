"""Decodes videos: frames in presentation order with exact times, and their orientation.

Every failure that the file causes is an `UnreadableFile` with a message for the user.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, cast

from stages.media.decoding.container import main_video_stream, open_container, raise_machine_error
from stages.media.decoding.crop import container_cropper
from stages.media.decoding.frame import Frame
from stages.media.decoding.orientation import is_mirrored, orientation_of
from stages.media.decoding.peak import LightPeak
from stages.media.decoding.quantizer import DECODER_OPTIONS
from stages.media.decoding.sample_aspect import SampleAspect
from stages.media.errors import NotSeekable, UnreadableFile
from stages.media.packets.clock import RESTARTING, Clock
from stages.media.packets.completeness import check_complete
from stages.media.packets.damage import MissingData
from stages.media.packets.reader import PacketReader, packets_before
from stages.media.timecode import format_time, ticks_to_seconds

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

_WITHOUT_TIMES = {"avi", "h264", "hevc", "m4v", "mpegvideo"}  # containers without presentation times
_WITH_INDEX = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # containers with an index of times


class Video:
    """An open video: the values of its header, and its frames. Created by `open_video`.

    Attributes:
        time_base: Length of one tick in seconds.
        coded_width_px, coded_height_px: Size of the coded frames in pixels, by the header.
        container, stream: The open container, and its video stream.
        time_repair: How times of frames were repaired so far. "none": they are those of the file. "joined":
            they are shifted after each jump of the clock. "counted": frames without a valid time got one.
    """

    container: "av.container.InputContainer"
    stream: "av.VideoStream"
    _counted_span: tuple[int | None, int | None]  # pts range of counted packets

    def __init__(
        self, uri: str, threads: int, motion_vectors: bool = False, time_repair: str = "none"
    ) -> None:
        self.uri, self.threads, self._motion_vectors = uri, threads, motion_vectors
        self._scalers: dict[object, VideoReformatter] = {}
        self._peak = LightPeak(uri)
        self._open()
        self.time_repair = "counted" if self._lacks_times else time_repair
        self.time_base = Fraction(cast(Fraction, self.stream.time_base))
        self.coded_width_px, self.coded_height_px = self.stream.width, self.stream.height

    @property
    def cropped_size(self) -> tuple[int, int]:
        """Width and height in pixels by the header, after the crop of the container."""
        return self._cropper.crop.remaining(self.coded_width_px, self.coded_height_px)

    @property
    def fps(self) -> Fraction:
        """The average frame rate in frames per second by the header; 25 if the header has none."""
        for rate in (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate):
            if rate and 0 < rate <= 1000:
                return Fraction(rate)
        return Fraction(25)

    def frames(self, start_pts: int | None = None, end_pts: int | None = None) -> Iterator[Frame]:
        """Yield the frames with start_pts <= pts < end_pts, with strictly increasing pts.

        A frame without a time, or whose time does not increase, gets the time that the frame rate implies. A
        span of such a file is found by decoding from the beginning.

        Raises:
            UnreadableFile: Decoding failed; the message names the time.
        """
        min_pts = start_pts
        for frames in self._attempts(start_pts):
            try:
                for frame in frames:
                    if end_pts is not None and frame.pts >= end_pts:
                        return
                    if min_pts is None or frame.pts >= min_pts:
                        yield frame
                        min_pts = frame.pts + 1
                return
            except NotSeekable:
                continue

    def frames_from_key_frame(
        self, entry_pts: int | None, start_pts: int | None, end_pts: int | None
    ) -> Iterator[Frame]:
        """Yield the frames from a key frame near `entry_pts` (None: from the first frame) up to `end_pts`.

        Times are not repaired. The key frame should be before `entry_pts`; a caller that relies on it must
        check its time. `read_progress` counts the packets from `start_pts` on.

        Raises:
            NotSeekable: The file cannot be searched by time, or the times of its frames are unreliable.
            UnreadableFile: Decoding failed.
        """
        if self.container.format.name not in _WITH_INDEX:
            raise NotSeekable("the container has no index")
        self._counted_span = start_pts, end_pts
        decodable = False
        for frame in self._decoded(repair=False) if entry_pts is None else self._from(entry_pts):
            decodable = decodable or (bool(frame.raw.key_frame) and not frame.raw.is_corrupt)
            if end_pts is not None and frame.pts >= end_pts:
                return
            if decodable or entry_pts is None:  # otherwise it depends on frames before the key frame
                yield frame

    @property
    def read_progress(self) -> tuple[int, float]:
        """The number of packets read, and the end in seconds of the last packet of any stream."""
        ends = ((t, self.container.streams[number].time_base) for number, t in self._reader.ends.items())
        return self._reader.packets, max((ticks_to_seconds(t, base) for t, base in ends if base), default=0.0)

    def check_complete(self, read_progress: tuple[int, float] | None = None) -> None:
        """Check after the last frame whether the file contains all that its header announces.

        Args:
            read_progress: Combined progress of all readers, if several readers shared the video.

        Raises:
            UnreadableFile: More than a tenth is missing, because a copy or a recording was interrupted.
        """
        check_complete(self.uri, self.container, self.stream, *(read_progress or self.read_progress))

    def close(self) -> None:
        """Close the file. Flush first: otherwise a frame-threaded decoder that is not at its end hangs."""
        for stream in self.container.streams.video:
            if stream.codec_context is not None:
                stream.codec_context.flush_buffers()
        self.container.close()
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        self._is_at_start = True
        self._counted_span = None, None
        self.container, self._file = open_container(self.uri)
        try:
            self.stream = main_video_stream(self.container)
        except UnreadableFile:
            self.close()
            raise
        self._cropper = container_cropper(self.uri, self._file, self.container, self.stream)
        self._sample_aspect = SampleAspect(self.stream, self._cropper.crop.sample_aspect)
        context = self.stream.codec_context
        context.thread_type = "FRAME" if self.threads > 1 else "NONE"
        context.thread_count = self.threads
        context.options = (
            context.options | DECODER_OPTIONS | ({"flags2": "+export_mvs"} if self._motion_vectors else {})
        )

    def _attempts(self, pts: int | None) -> Iterator[Iterator[Frame]]:
        """Yield iterators of frames that include `pts`: from a key frame before it, then from the start."""
        if pts is not None and self.time_repair != "counted":
            for margin_s in (0, 10):
                frames = self._from(pts - round(margin_s / self.time_base))
                try:
                    first = next(frames, None)
                except UnreadableFile:
                    continue
                if first is not None and _can_start_at(first, pts):
                    yield chain((first,), frames)
                    break
        self._rewind()
        yield self._decoded(repair=True)

    def _rewind(self) -> None:
        if not self._is_at_start:
            self.close()
            self._open()

    def _from(self, pts: int) -> Iterator[Frame]:
        """Yield the frames from the last key frame at or before `pts`."""
        import av

        if self.time_repair == "joined":  # the times in the file are ambiguous
            self._rewind()
            self._is_at_start = False
            skipped = packets_before(self.container, self.stream, self._new_clock(), pts)
            self._rewind()
            yield from self._decoded(repair=False, skipped=skipped)
            return
        self._is_at_start = False
        try:
            self.container.seek(pts, stream=self.stream)
        except av.error.FFmpegError as error:
            raise NotSeekable("the file cannot be searched by time") from error
        yield from self._decoded(repair=False)

    @property
    def _lacks_times(self) -> bool:
        return self.container.format.name in _WITHOUT_TIMES

    @property
    def _step(self) -> Fraction:
        return 1 / (self.fps * self.time_base)

    def _new_clock(self) -> Clock:
        return Clock(self.time_base, max(1, round(self._step)), self.container.format.name in RESTARTING)

    def _decoded(self, repair: bool, skipped: int = 0) -> Iterator[Frame]:
        """Yield all following frames. Without `repair`, raise `NotSeekable` at the first invalid time.

        `skipped` is a number of packets to skip.
        """
        import av

        self._is_at_start = False
        clock, origin, last = self._new_clock(), self.stream.start_time or 0, None
        mirrored, aspect = False, None
        reader = self._reader = PacketReader(
            self.uri, self.container, self.stream, None if self._lacks_times else clock, self._counted_span
        )
        step_ticks = gap = max(1, round(self._step))
        try:
            for number, raw in enumerate(reader.frames(skipped)):
                pts = raw.pts
                if self._lacks_times:
                    pts = origin + round(number * self._step) + reader.repeated_ticks(number, self._step)
                if pts is None or (last is not None and pts <= last):
                    self._note_repair("counted", repair)
                    pts = origin if last is None else last + step_ticks
                elif clock.is_joined:
                    self._note_repair("joined", repair or self.time_repair == "joined")
                jumps = clock.begins_segment(pts) or (last is not None and clock.is_gap(pts - last, gap))
                gap = gap if last is None or jumps else pts - last
                duration = max(0, raw.duration or 0) or step_ticks
                duration = gap if clock.is_gap(duration, gap) else duration
                mirrored = is_mirrored(raw) if last is None else mirrored
                raw, last = self._cropper.apply(raw), pts
                aspect = self._sample_aspect.of_frame(raw, aspect)
                yield Frame(
                    pts, duration, orientation_of(raw.rotation, mirrored), raw, self._scalers, aspect, jumps,
                    reader.quantizer_step, self._peak.of_frame(raw),
                )  # fmt: skip
        except MissingData as error:
            raise UnreadableFile(f"damaged {self._place(last)}: {error}") from error
        except av.error.FFmpegError as error:
            raise_machine_error(error)
            raise UnreadableFile(f"decoding failed {self._place(last)}: {error.strerror}") from error

    def _note_repair(self, kind: str, allowed: bool) -> None:
        if not allowed:
            raise NotSeekable("the times of its frames are missing or run backwards")
        if self.time_repair != "counted":
            self.time_repair = kind

    def _place(self, last: int | None) -> str:
        time_s = ticks_to_seconds(last or 0, self.time_base)
        return "before the first frame" if last is None else f"after {format_time(time_s)}"


def _can_start_at(first: Frame, pts: int) -> bool:
    """Return whether the frames up to `pts` can be decoded from this frame.

    Some files decode correctly only from their very beginning (4:4:4 by an early x264, which says so in its
    first packet); in other places the decoder marks the frames as corrupt.
    """
    return bool(first.raw.key_frame) and not first.raw.is_corrupt and first.pts <= pts


@contextmanager
def open_video(
    uri: str, threads: int = 1, *, motion_vectors: bool = False, time_repair: str = "none"
) -> Iterator[Video]:
    """Open the first video stream of a path or URL that is not a cover image.

    Args:
        uri: Path or URL.
        threads: Number of decoder threads. The frames are the same for any number.
        motion_vectors: Keep the motion vectors of the codec with each frame.
        time_repair: How times were repaired when the whole video was decoded: `Video.time_repair` after that.
            Frames of a span are found by it.

    Raises:
        UnreadableFile: The file does not exist, is empty, is not a video, or has no video stream.
    """
    video = Video(uri, threads, motion_vectors, time_repair)
    try:
        yield video
    finally:
        video.close()


def frames(
    uri: str, start_pts: int | None = None, end_pts: int | None = None, *, threads: int = 1
) -> Iterator[Frame]:
    """Yield the frames of a span of a video; seeks to the key frame before it. See `Video.frames`."""
    with open_video(uri, threads) as video:
        yield from video.frames(start_pts, end_pts)
