"""Cut a kept clip out of its source, frame-exact at both ends and upright: encoded, or its packets copied.

With `fps` 0, a source of constant rate gives each frame of the span once. Where the rate varies, or `fps`
asks for another, the clip shows at k / fps seconds, for each whole k inside the span, the nearest frame.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import Artifact, ClipmillError, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.decode import Video, open_video
from stages.media.encoders import AUDIO, PRESETS, VIDEO, coding_of, one_of
from stages.media.fingerprint import fingerprint
from stages.media.frame import Frame
from stages.media.mp4 import Coding, Written, look, write_frames
from stages.media.planes import planar
from stages.media.remux import copy_span
from stages.media.sound import sound_of
from stages.shards.bucket import exact, short_side_px

if TYPE_CHECKING:
    import av


class KeptClip(Row):
    uri: str
    size_bytes: int
    content_sha256: str
    variable_rate: bool
    start_pts: int
    end_pts: int
    start_frame: int
    end_frame: int


class CutOut(Row):
    clip: Artifact = column("the clip as an mp4 file; encoded: H.264, 8-bit 4:2:0")
    clip_way: str = column("encoded; or copied: the packets of the source as they are")
    clip_codec: str = column("codec of its pictures")
    clip_audio: str = column("codec of its sound; empty: it has none")
    clip_width_px: int = column("width of the clip", unit="px")
    clip_height_px: int = column("height of the clip", unit="px")
    clip_frames: int = column("frames of the clip, counted in the file")
    clip_fps: float = column("frame rate of the clip: frames over length", unit="1/s")
    clip_duration_s: float = column("length of the clip's pictures, by the file", unit="s")
    clip_size_bytes: int = column("size of the file", unit="bytes")


class CutClip(Annotate[KeptClip, CutOut]):
    """Same frames, settings and build of the encoder, same bytes: x264 runs with one thread.

    More `threads` are faster by the clock, and take more processor time; the bytes are the same from run to
    run, but others than with one, which is why the number is part of the key.

    Rejected: a source that is gone, whose content is not what was listed, or that gives other frames
    than when it was scanned; with `audio`, one whose sound cannot be decoded.
    """

    crf: int = 18  # constant quality: 0 is lossless, 51 worst
    preset: str = "veryfast"  # of x264: its trade of time against size; for NVENC, the nearest of its own
    encoder: str = "x264"  # nvenc: on a GPU that has one; its bytes differ from GPU to GPU
    threads: int = 1  # of the encoder
    short_side_px: int = 0  # shrink to this, and never enlarge; 0 keeps the size
    bucket_size: bool = False  # shrink to the short side of its bucket: 1080, 720, 480 or 360
    fps: float = 0.0  # frames per second; 0 keeps the source's average
    constant_rate: bool = True  # else, with `fps` 0, each frame keeps its time
    audio: str = "none"  # aac, opus: encoded; copy: as it is, where an mp4 can hold it
    audio_bits_per_s: int = 128_000
    copy: bool = False  # copy the packets of a span that begins and ends where no picture leans on another's

    version = 2
    needs = Needs(cpus=1, memory_gb=1)

    def __post_init__(self) -> None:
        one_of(self.encoder, VIDEO, "encoder")
        one_of(self.preset, PRESETS, "preset")
        one_of(self.audio, AUDIO, "audio")
        if self.threads < 1:  # 0 would be as many as the machine has, and bytes depend on how many there are
            raise ClipmillError(f"threads is {self.threads}", remedy="give the encoder 1 thread or more")

    @cached_property
    def _coding(self) -> Coding:
        return coding_of(self.encoder, self.crf, self.preset, self.threads)

    def annotate(self, rows: Sequence[KeptClip]) -> Iterator[CutOut | Reject]:
        for row in rows:
            with tempfile.NamedTemporaryFile(suffix=".mp4", delete=False) as file:
                path = Path(file.name)
            try:
                way, found = self._cut(row, path)
            except BaseException as error:
                path.unlink()
                if not isinstance(error, Reject):
                    raise
                yield error
            else:
                yield _told(path, way, found)

    def _cut(self, row: KeptClip, path: Path) -> tuple[str, Written]:
        """Write the file, and say how it came about and what it holds."""
        _check_source(row)
        with open_video(row.uri) as video:
            span = _Span(video.frames(row.start_pts, row.end_pts))
            if span.first is None:
                raise Reject("the source has no frames in this span any more")
            wide, high = video.shown_size(span.first.turns)
            size = self._size(wide, high)
            base = video.time_base
            with self._sound(row, base) as sound:
                as_it_is = size == (video.coded_width_px, video.coded_height_px) and not span.first.turns
                plain = self.copy and as_it_is and not self._paced(row)
                if plain and copy_span(row.uri, path, row.start_pts, row.end_pts, sound):
                    found = look(path)
                    _check_count(found.frames, row)
                    return "copied", found
                rate = exact(self.fps) if self.fps else _rate(video, row)
                step = base if self._timed(row) else 1 / rate
                pictures = self._pictures(span, row, size, step / base)
                coding = _in_order(self._coding) if self._timed(row) else self._coding
                frames = write_frames(path, pictures, rate, step, coding, sound=sound)
        _check_count(span.count, row)
        return "encoded", _looked_at(path, frames, row)

    def _timed(self, row: KeptClip) -> bool:
        """Whether each frame keeps its own time."""
        return row.variable_rate and not self.fps and not self.constant_rate

    def _paced(self, row: KeptClip) -> bool:
        """Whether frames are repeated or left out."""
        return bool(self.fps) or (row.variable_rate and self.constant_rate)

    def _pictures(
        self, span: "_Span", row: KeptClip, size: tuple[int, int], step: Fraction
    ) -> Iterator["av.VideoFrame"]:
        """The pictures with their times, in units of `step` ticks."""
        if self._timed(row):
            yield from _timed(span, row, size)
            return
        frames = _nearest(span, row.start_pts, row.end_pts, step) if self._paced(row) else span
        last: Frame | None = None
        for number, frame in enumerate(frames):
            if frame is not last:  # one that is shown several times in a row is converted once
                last, picture = frame, planar(frame, *size)
            picture.pts, picture.duration = number, 1
            yield picture

    def _size(self, wide: int, high: int) -> tuple[int, int]:
        """The size to scale to; of an odd side kept, the last line is left out later."""
        short = min(wide, high)
        wanted = min(self.short_side_px or short, short)
        if self.bucket_size:
            wanted = short_side_px(wanted, wanted) or wanted
        if wanted == short:
            return wide, high
        scale = Fraction(wanted, short)
        return max(2, round(wide * scale / 2) * 2), max(2, round(high * scale / 2) * 2)

    def _sound(self, row: KeptClip, base: Fraction) -> Any:
        if self.audio == "none":
            return nullcontext()
        return sound_of(row.uri, row.start_pts * base, row.end_pts * base, self.audio, self.audio_bits_per_s)


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


def _check_source(row: KeptClip) -> None:
    """Refuse a source that is not what was listed, before it is decoded for nothing."""
    try:
        size, content = fingerprint(row.uri)
    except FileNotFoundError as error:
        raise Reject("the source is gone") from error
    if size != row.size_bytes:
        raise Reject(f"the source has changed: {size} bytes, {row.size_bytes} when it was listed")
    if content != row.content_sha256:
        raise Reject("the source has changed: its content is not what was listed")


def _check_count(frames: int, row: KeptClip) -> None:
    if frames != (scanned := row.end_frame - row.start_frame):
        raise Reject(f"the source gives {frames} frames in this span, where the scan saw {scanned}")


def _rate(video: Video, row: KeptClip) -> Fraction:
    """The header's average rate where the span bears it out to within a frame, else the span's own."""
    seconds = (row.end_pts - row.start_pts) * video.time_base
    frames = row.end_frame - row.start_frame
    if abs(seconds * video.fps - frames) <= 1:
        return video.fps
    return (frames / seconds).limit_denominator(1001)


def _timed(span: Iterable[Frame], row: KeptClip, size: tuple[int, int]) -> Iterator["av.VideoFrame"]:
    """The pictures at the times they have, each until the next; the lengths in the source may be wrong."""
    waiting: av.VideoFrame | None = None
    for frame in span:
        at = frame.pts - row.start_pts
        if waiting is not None:
            waiting.duration = at - waiting.pts
            yield waiting
        waiting = planar(frame, *size)
        waiting.pts = at
    if waiting is not None:
        waiting.duration = row.end_pts - row.start_pts - waiting.pts
        yield waiting


def _in_order(coding: Coding) -> Coding:
    """Without pictures that are stored before ones shown earlier: an mp4 tells no lengths of such."""
    return coding._replace(options={**coding.options, "bf": "0"})


def _nearest(frames: Iterable[Frame], start: int, end: int, step: Fraction) -> Iterator[Frame]:
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


def _looked_at(path: Path, frames: int, row: KeptClip) -> Written:
    """What the file holds, which must be what went into it."""
    found = look(path)
    if found.frames != frames:
        where = f"{row.uri}, {row.start_pts} … {row.end_pts}"
        raise RuntimeError(f"the clip of {where} holds {found.frames} frames, and {frames} were written")
    return found


def _told(path: Path, way: str, found: Written) -> CutOut:
    return CutOut(
        clip=Artifact.of_file(path),
        clip_way=way,
        clip_codec=found.codec,
        clip_audio=found.audio,
        clip_width_px=found.width_px,
        clip_height_px=found.height_px,
        clip_frames=found.frames,
        clip_fps=float(found.frames / found.duration_s),
        clip_duration_s=float(found.duration_s),
        clip_size_bytes=path.stat().st_size,
    )
