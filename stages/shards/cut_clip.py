"""Cuts a kept clip out of its source, upright and frame-exact at both ends, by encoding or packet copy.

With `fps` 0 the clip of a source with a constant rate holds each frame of the span once. If the rate varies,
or if `fps` sets another rate, the clip shows the nearest frame at k / fps seconds, for each integer k.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from manifests import (
    Artifact,
    ClipmillError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Range,
    Row,
    column,
)
from pipeline import Annotate, Needs, Reject
from stages.media.decoding.frame import Frame
from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import open_video
from stages.media.encoding.audio import open_audio
from stages.media.encoding.encoders import (
    AUDIO_CODECS,
    PRESETS,
    VIDEO_ENCODERS,
    check_choice,
    encoder_settings,
    hdr_encoder_settings,
    without_reordering,
)
from stages.media.encoding.mp4 import EncoderSettings, Mp4Info, read_mp4_info, write_frames
from stages.media.encoding.remux import copy_span
from stages.shards.bucket import ASPECT_RATIOS, ASPECT_TOLERANCE, RESOLUTIONS, check_buckets, exact_fps
from stages.shards.check_source import OtherFrames, check_frame, check_frame_count, check_source
from stages.shards.clip_picture import TO_BUCKET, TargetSize, coded_crop, cropped, picture_of
from stages.shards.frame_times import CountedSpan, average_rate, frames_at_own_times, nearest_frames

if TYPE_CHECKING:
    import av

MAX_CRF = 51  # of x264 at 8 bits, of x265, and of NVENC
CUT_HDR_MODES = ("tonemap", "keep")


class KeptClip(Row):
    uri: str
    size_bytes: int
    content_sha256: str
    variable_rate: bool
    start_pts: int
    end_pts: int
    start_frame: int
    end_frame: int
    signals: Artifact | None = None
    time_repair: str = "none"
    crop_x_px: int | None = None
    crop_y_px: int | None = None
    crop_width_px: int | None = None
    crop_height_px: int | None = None


class ClipFile(Row):
    clip: Artifact = column(
        "the clip as an mp4 file; if encoded: H.264, 8-bit 4:2:0, or HEVC, 10-bit 4:2:0, for HDR that is kept"
    )
    clip_method: str = column("encoded, or copied: with the packets of the source")
    clip_codec: str = column("video codec of the clip")
    clip_bit_depth: int = column("bits per sample of the clip", unit="bits")
    clip_color_transfer: str = column(
        "transfer function of the clip, as in ffprobe: smpte2084 (PQ), arib-std-b67 (HLG), bt709 …"
    )
    clip_audio: str = column("audio codec of the clip; empty if it has no audio")
    clip_width_px: int = column("width of the clip", unit="px")
    clip_height_px: int = column("height of the clip", unit="px")
    clip_frames: int = column("number of frames, counted in the file")
    clip_fps: float = column("frame rate of the clip: frames over duration", unit="1/s")
    clip_duration_s: float = column("duration of the video stream in the file", unit="s")
    clip_size_bytes: int = column("size of the file", unit="bytes")


class CutClip(Annotate[KeptClip, ClipFile]):
    """Cuts each kept clip out of its source into an mp4 file.

    The same frames, settings and encoder build give the same bytes. The first and the last frame are compared
    with the fingerprints that the scan stored. If they differ, the source is decoded from its start.

    Rejected: a source that is missing, that has changed since it was listed, or that gives another number of
    frames than during the scan; a span in which the size or the pixel aspect of the frames changes; with
    `audio`, a source whose audio cannot be decoded.

    Attributes:
        crf: Constant quality of the encoder: 0 is lossless, 51 is the worst quality. A higher value makes
            smaller files.
        preset: Preset of x264, from ultrafast to veryslow; a slower one makes smaller files. NVENC uses the
            closest of its own presets.
        encoder: x264, x265 (HEVC), or nvenc on a GPU that has it. The bytes of nvenc differ between GPUs.
        threads: Threads of the encoder. More threads take less time but more CPU time. The bytes depend on
            the number, and are the same in each run.
        max_short_side_px: Shrink clips with a longer short side to this size, in pixels; 0 keeps the size.
            Clips are never enlarged. Higher values make larger files.
        width_px: Largest width of a clip in pixels; 0 sets no limit. Higher values make larger files.
        height_px: Largest height of a clip in pixels; 0 sets no limit. With `width_px`, a clip is cropped
            around its center to exactly this size. Higher values make larger files.
        to_bucket: none; shrink: to the resolution of the bucket; crop: shrink, and crop around the center to
            the exact size of the bucket.
        resolutions: Short sides of buckets in pixels. More make more buckets.
        aspect_ratios: Aspect ratios of buckets, such as 16:9. More make more buckets.
        aspect_tolerance: Largest difference to the aspect ratio of a bucket, as a share of the smaller ratio.
            Clips that differ more are not cropped to a bucket. Higher values crop more.
        fps: Frame rate of the clip, in frames per second; 0 keeps the average rate of the source.
        constant_frame_rate: Give frames of a source with a varying rate even times. False, with `fps` 0: each
            frame keeps its time.
        audio: none; aac or opus: encode the audio; copy: copy its packets, where an mp4 file can hold them.
        audio_bits_per_s: Bit rate of encoded audio, in bits per second.
        copy_packets: Copy the video packets if no frame of the span depends on a frame outside it. Other
            spans are encoded.
        hdr: What a clip of PQ or HLG becomes. tonemap: 8-bit H.264 in BT.709. keep: 10-bit HEVC with the
            color tags of the source.
    """

    crf: Annotated[int, Range(0, 51)] = 18
    preset: str = "veryfast"
    encoder: str = "x264"
    threads: PositiveInt = 1
    max_short_side_px: NonNegativeInt = 0
    width_px: NonNegativeInt = 0
    height_px: NonNegativeInt = 0
    to_bucket: str = "none"
    resolutions: tuple[PositiveInt, ...] = RESOLUTIONS
    aspect_ratios: tuple[str, ...] = ASPECT_RATIOS
    aspect_tolerance: NonNegativeFloat = ASPECT_TOLERANCE
    fps: NonNegativeFloat = 0.0
    constant_frame_rate: bool = True
    audio: str = "none"
    audio_bits_per_s: PositiveInt = 128_000
    copy_packets: bool = False
    hdr: str = "tonemap"

    version = 5
    decodes = "duration_s"
    needs = Needs(cpus=1, memory_gb=1)

    def __post_init__(self) -> None:
        check_choice(self.encoder, VIDEO_ENCODERS, "encoder")
        check_choice(self.preset, PRESETS, "preset")
        check_choice(self.audio, AUDIO_CODECS, "audio")
        check_choice(self.hdr, CUT_HDR_MODES, "hdr")
        check_choice(self.to_bucket, TO_BUCKET, "to_bucket")
        check_buckets(self.resolutions, self.aspect_ratios)
        exact_fps(self.fps)  # raises if it is too low
        if not 0 <= self.crf <= MAX_CRF:
            raise ClipmillError(f"crf is {self.crf}", remedy=f"set crf to 0 to {MAX_CRF}")
        if self.threads < 1:  # 0 would mean one per core, and the bytes depend on the number
            raise ClipmillError(f"threads is {self.threads}", remedy="set threads to 1 or more")

    @cached_property
    def _encoder_settings(self) -> EncoderSettings:
        return encoder_settings(self.encoder, self.crf, self.preset, self.threads)

    @cached_property
    def _hdr_settings(self) -> EncoderSettings:
        return hdr_encoder_settings(self.encoder, self.crf, self.preset, self.threads)

    def annotate(self, rows: Sequence[KeptClip]) -> Iterator[ClipFile | Reject]:
        for row in rows:
            with tempfile.NamedTemporaryFile(suffix=".mp4", delete=False) as file:
                path = Path(file.name)
            try:
                method, info = self._cut(row, path)
            except BaseException as error:
                path.unlink()
                if not isinstance(error, Reject):
                    raise
                yield error
            else:
                yield _clip_file(path, method, info)

    def _cut(self, row: KeptClip, path: Path) -> tuple[str, Mp4Info]:
        """Write the file; returns the method, encoded or copied, and what the file holds."""
        check_source(row)
        if row.time_repair == "joined" and self.audio != "none":
            raise Reject(
                "the clock of the source jumps, so its audio cannot be found: set audio to none, or put each "
                "recording that the file was joined from into a file of its own"
            )
        if row.time_repair != "counted":
            try:
                return self._cut_found(row, path)
            except OtherFrames:
                pass
        return self._cut_found(replace(row, time_repair="counted"), path)

    def _cut_found(self, row: KeptClip, path: Path) -> tuple[str, Mp4Info]:
        """Write the file from frames that are found by their times, or counted from the start.

        Raises:
            OtherFrames: They are not the scanned ones.
        """
        with open_video(row.uri, time_repair=row.time_repair) as video:
            span = CountedSpan(video.frames(row.start_pts, row.end_pts))
            if span.first is None:
                raise OtherFrames("the source no longer has frames in this span")
            check_frame(span.first, row, row.start_frame)
            crop_columns = row.crop_x_px, row.crop_y_px, row.crop_width_px, row.crop_height_px
            shown, size = self._target_size.apply(picture_of(span.first, crop_columns))
            crop = coded_crop(span.first, shown)
            base = video.time_base
            with self._open_audio(row, base) as audio:
                is_hdr = span.first.picture_format.is_hdr
                is_same_size = size == (video.coded_width_px, video.coded_height_px)
                unchanged = is_same_size and not span.first.orientation and not any(crop[:4])
                unchanged = unchanged and not self._resamples(row)
                unchanged = unchanged and not (is_hdr and self.hdr == "tonemap")
                may_copy = self.copy_packets and unchanged and row.time_repair != "joined"
                if may_copy and copy_span(row.uri, path, row.start_pts, row.end_pts, audio):
                    info = read_mp4_info(path)
                    check_frame_count(info.frames, row)
                    return "copied", info
                preserves_times = self._preserves_times(row)
                scanned = row.end_frame - row.start_frame
                rate = average_rate(video, row.start_pts, row.end_pts, scanned)
                rate = exact_fps(self.fps) if self.fps else rate
                step = base if preserves_times else 1 / rate
                shown_frames = cropped(span, crop) if any(crop[:4]) else iter(span)
                frames = self._frames(shown_frames, row, size, step / base)
                settings = self._hdr_settings if is_hdr and self.hdr == "keep" else self._encoder_settings
                if preserves_times:
                    settings = without_reordering(settings)
                written = write_frames(path, frames, rate, step, settings, audio=audio)
        check_frame_count(span.count, row)
        check_frame(span.last or span.first, row, row.end_frame - 1)
        return "encoded", _read_info(path, written, row)

    def _preserves_times(self, row: KeptClip) -> bool:
        """Whether each frame keeps its own time."""
        return row.variable_rate and not self.fps and not self.constant_frame_rate

    def _resamples(self, row: KeptClip) -> bool:
        """Whether frames are repeated or left out."""
        return bool(self.fps) or (row.variable_rate and self.constant_frame_rate)

    def _frames(
        self, span: Iterator[Frame], row: KeptClip, size: tuple[int, int], step: Fraction
    ) -> Iterator["av.VideoFrame"]:
        """The frames with their times, in units of `step` source ticks."""
        if self._preserves_times(row):
            yield from frames_at_own_times(span, row.start_pts, row.end_pts, size, self.hdr == "keep")
            return
        frames = nearest_frames(span, row.start_pts, row.end_pts, step) if self._resamples(row) else span
        last: Frame | None = None
        for number, frame in enumerate(frames):
            if frame is not last:  # a frame that is shown several times in a row is converted once
                last, planes = frame, to_yuv420p(frame, *size, self.hdr == "keep")
            planes.pts, planes.duration = number, 1
            yield planes

    @cached_property
    def _target_size(self) -> TargetSize:
        return TargetSize(**{name: getattr(self, name) for name in TargetSize._fields})

    def _open_audio(self, row: KeptClip, base: Fraction) -> Any:
        if self.audio == "none":
            return nullcontext()
        start_s, end_s = row.start_pts * base, row.end_pts * base
        return open_audio(row.uri, start_s, end_s, self.audio, self.audio_bits_per_s)


def _read_info(path: Path, written: int, row: KeptClip) -> Mp4Info:
    """What the file holds, after a check that it holds the frames that were written."""
    info = read_mp4_info(path)
    if info.frames != written:
        where = f"{row.uri}, pts {row.start_pts} … {row.end_pts}"
        raise RuntimeError(f"the clip of {where} holds {info.frames} frames, and {written} were written")
    return info


def _clip_file(path: Path, method: str, info: Mp4Info) -> ClipFile:
    return ClipFile(
        clip=Artifact.of_file(path),
        clip_method=method,
        clip_codec=info.codec,
        clip_bit_depth=info.bit_depth,
        clip_color_transfer=info.color_transfer,
        clip_audio=info.audio,
        clip_width_px=info.width_px,
        clip_height_px=info.height_px,
        clip_frames=info.frames,
        clip_fps=float(info.frames / info.duration_s),
        clip_duration_s=float(info.duration_s),
        clip_size_bytes=path.stat().st_size,
    )
