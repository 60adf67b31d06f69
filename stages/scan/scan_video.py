"""Decodes each video once; stores signals of every frame and a strip of still images."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from manifests import Artifact, NonNegativeFloat, PositiveFloat, PositiveInt, Range, Row, column
from pipeline import Chunked, Needs
from stages.media.decoding.frame import Frame
from stages.media.decoding.frame_fingerprint import FINGERPRINT_COLUMNS, fingerprint_frame
from stages.media.decoding.orientation import rotate_upright
from stages.media.decoding.video import open_video
from stages.media.errors import NotSeekable, UnreadableFile
from stages.media.signals import SignalsWriter
from stages.media.strip import encode_jpeg
from stages.scan.meter import FrameView, Meter, load_meter
from stages.scan.spans import (
    LEAD_INS_S,
    WHOLE_VIDEO,
    InsufficientWarmUp,
    Span,
    SpanScan,
    SpanScanner,
    plan_spans,
    spans_match,
)  # fmt: skip

METERS = (
    "content", "light", "sharpness", "noise", "blocks", "color", "motion", "repeats", "borders",
    "interlaced",
)  # fmt: skip


class ListedVideo(Row):
    uri: str


class ScannedVideo(Row):
    scanned_frames: int = column("number of decoded frames of the whole video", unit="frames")
    scanned_s: float = column("duration from the first frame to the end of the last frame", unit="s")
    scanned_end_pts: int = column("end of the last frame, in the video's time base", unit="ticks")
    variable_rate: bool = column("whether the time between frames varies by more than one tick or 1 %")
    signals: Artifact = column(
        "Parquet file, one row per frame: pts, time_s, the meters' columns, a thumbnail"
    )
    format_changes: tuple[int, ...] = column(
        "frames at which the size, the pixel aspect or the dynamic range of the picture changes"
    )
    format_widths_px: tuple[int, ...] = column("display width after each of these changes", unit="px")
    format_heights_px: tuple[int, ...] = column("display height after each of these changes", unit="px")
    time_repair: str = column(
        "how frame times were repaired. none: they are those of the file; joined: shifted after each jump of "
        "the clock; counted: frames without a valid time got one, so they are found from the start"
    )
    clock_jumps: tuple[int, ...] = column(
        "first frames after a jump of the clock, or after a frame shown for over a minute; they begin a shot"
    )
    clock_jump_end_pts: tuple[int, ...] = column(
        "end of the frame before each jump, in the video's time base", unit="ticks"
    )
    strip: Artifact = column("still images, as concatenated JPEGs")
    strip_times_s: tuple[float, ...] = column("time of each still since the first frame", unit="s")
    strip_offsets: tuple[int, ...] = column(
        "position of the first byte of each still in the strip", unit="bytes"
    )


class ScanVideo(Chunked[ListedVideo, Span, SpanScan, ScannedVideo]):
    """Decodes a video once and stores signals of every frame and a strip of still images.

    Memory does not grow with the length of the video. A long video is scanned in spans by several workers.
    Stills are the first frames at or after each 1 / `stills_per_s`, upright, with square pixels and never
    enlarged. A video that does not decode to its end, or that ends well before its header says, is rejected:
    a truncated video has other shots than the complete one.

    Attributes:
        meters: Names of the meters that measure each frame: files of stages/scan/meters, or `module:Class`.
            More meters store more signals and cost more time per frame.
        stills_per_s: Stills per second of video. Higher values make the strip larger.
        still_px: Longer side of a still in pixels. Higher values make the strip larger.
        jpeg_quality: JPEG quality of the stills, 1 to 100. Higher values make the strip larger.
        threads: Decoder threads. The result does not depend on it.
        span_s: Length in seconds of the spans of a long video, each scanned by one worker; 0 scans the video
            as a whole. The result does not depend on it.
    """

    version = 4
    needs = Needs(memory_gb=1)
    decodes = "video_duration_s"
    execution_settings = frozenset({"threads", "span_s"})

    meters: tuple[str, ...] = METERS
    stills_per_s: PositiveFloat = 2.0
    still_px: PositiveInt = 448
    jpeg_quality: Annotated[int, Range(1, 100)] = 85
    threads: PositiveInt = 1
    span_s: NonNegativeFloat = 600.0

    def split(self, row: ListedVideo) -> Sequence[Span]:
        with open_video(row.uri, self.threads) as video:
            return plan_spans(video, self.span_s)

    def work(self, row: ListedVideo, piece: Span) -> SpanScan:
        import cv2

        cv2.setNumThreads(1)
        for lead_in_s in (0.0,) if piece.start_pts is None else LEAD_INS_S:
            try:
                return self._scan(row.uri, piece, lead_in_s)
            except InsufficientWarmUp:
                continue
            except NotSeekable:
                break
        return SpanScan()

    def join(self, row: ListedVideo, results: Sequence[SpanScan]) -> ScannedVideo:
        if len(results) == 1:
            return _columns(results[0])
        if not spans_match(results):
            return _columns(self.work(row, WHOLE_VIDEO))
        with open_video(row.uri) as video:
            video.check_complete(
                (sum(span.packets for span in results), max(span.read_end_s for span in results))
            )
        with ExitStack() as drafts:
            scanned = _columns(self._concatenate(results, *_draft_files(drafts)))
            drafts.pop_all()  # keep the files: the engine moves them into the store
            return scanned

    def _scan(self, uri: str, span: Span, lead_in_s: float) -> SpanScan:
        """Scan a span, decoding from a key frame at least `lead_in_s` before it.

        Raises:
            InsufficientWarmUp: The lead-in is too short.
            NotSeekable: The span cannot be found by time.
            UnreadableFile: The whole video does not decode, or is truncated.
        """
        meters = [load_meter(name) for name in self.meters]
        vectors = any(getattr(meter, "needs_motion_vectors", False) for meter in meters)
        with ExitStack() as drafts, open_video(uri, self.threads, motion_vectors=vectors) as video:
            table, stills = _draft_files(drafts)
            scanner = SpanScanner(video, span, self.stills_per_s)
            with SignalsWriter(table, _meanings(meters)) as writer, stills.open("wb") as strip:
                try:
                    for frame, view, is_in_span, is_still in scanner.frames(lead_in_s):
                        if scanner.has_new_format:  # sizes differ, and no meter compares across the change
                            meters = [load_meter(name) for name in self.meters]
                        if is_still:
                            view.still = self.make_still(view, frame)
                        values = [v for meter in meters for v in meter.update(view)]
                        if not is_in_span:
                            continue
                        if view.still is not None:
                            scanner.strip_times_s.append(view.time_s)
                            scanner.strip_offsets.append(strip.tell())
                            strip.write(encode_jpeg(view.still, self.jpeg_quality))
                        values += fingerprint_frame(frame.raw)
                        writer.append(frame.pts, view.time_s, values, view.thumb)
                except NotSeekable:
                    raise
                except UnreadableFile as reason:
                    if span.start_pts is None:
                        raise
                    return scanner.result(str(reason))  # `join` decides whether one pass would fail too
            if span.is_whole:
                if not scanner.frame_count:
                    raise UnreadableFile("the video stream holds no frames")
                video.check_complete()
            result = scanner.result()
            if result.frames:
                result = replace(result, signals=Artifact.of_file(table), strip=Artifact.of_file(stills))
                drafts.pop_all()  # keep the files: the engine moves them into the store
            return result

    def _concatenate(self, spans: Sequence[SpanScan], table: Path, stills: Path) -> SpanScan:
        """Join the spans into one, whose files are equal, byte for byte, to those of a single pass."""
        spans = [span for span in spans if span.frames]
        offsets: list[int] = []
        changes: list[int] = []
        jumps: list[int] = []
        frames = 0
        with (
            SignalsWriter(table, _meanings([load_meter(name) for name in self.meters])) as writer,
            stills.open("wb") as strip,
        ):
            for span in spans:
                assert span.signals is not None
                assert span.strip is not None
                with span.signals.local() as path:
                    writer.copy(path)
                offsets += [strip.tell() + offset for offset in span.strip_offsets]
                changes += [frames + number for number in span.format_changes]
                jumps += [frames + number for number in span.clock_jumps]
                frames += span.frames
                with span.strip.local() as path, path.open("rb") as part:
                    shutil.copyfileobj(part, strip)
        with_gaps = [span for span in spans if span.max_gap]
        return replace(
            spans[-1],
            frames=frames,
            min_gap=min((span.min_gap for span in with_gaps), default=0),
            max_gap=max((span.max_gap for span in with_gaps), default=0),
            signals=Artifact.of_file(table),
            strip=Artifact.of_file(stills),
            strip_times_s=tuple(time_s for span in spans for time_s in span.strip_times_s),
            strip_offsets=tuple(offsets),
            format_changes=tuple(changes),
            format_widths_px=tuple(width for span in spans for width in span.format_widths_px),
            format_heights_px=tuple(height for span in spans for height in span.format_heights_px),
            clock_jumps=tuple(jumps),
            clock_jump_end_pts=tuple(pts for span in spans for pts in span.clock_jump_end_pts),
        )

    def make_still(self, view: FrameView, frame: Frame) -> np.ndarray:
        """Return the still of a frame: uint8 BGR [h w 3], upright, with square pixels."""
        import cv2

        width, height = replace(frame, orientation=0).display_size
        scale = min(1.0, self.still_px / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        full = view.full_bgr[::2] if view.is_interlaced else view.full_bgr  # one field: both differ in time
        while full.shape[1] >= 2 * size[0] and full.shape[0] >= 2 * size[1]:  # averages, then bilinear
            full = cv2.resize(full, (full.shape[1] // 2, full.shape[0] // 2), interpolation=cv2.INTER_AREA)
        small = full if full.shape[1::-1] == size else cv2.resize(full, size, interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(rotate_upright(small, frame.orientation))


def _columns(scan: SpanScan) -> ScannedVideo:
    """Return the columns of a video from the scan of all of it."""
    assert scan.signals is not None
    assert scan.strip is not None
    return ScannedVideo(
        scanned_frames=scan.frames,
        scanned_s=scan.end_s,
        scanned_end_pts=scan.end_pts,
        format_changes=scan.format_changes,
        format_widths_px=scan.format_widths_px,
        format_heights_px=scan.format_heights_px,
        time_repair=scan.time_repair,
        clock_jumps=scan.clock_jumps,
        clock_jump_end_pts=scan.clock_jump_end_pts,
        variable_rate=scan.max_gap > max(scan.min_gap + 1, scan.min_gap * 1.01),
        signals=scan.signals,
        strip=scan.strip,
        strip_times_s=scan.strip_times_s,
        strip_offsets=scan.strip_offsets,
    )


def _meanings(meters: Sequence[Meter]) -> dict[str, str]:
    return {n: meaning for meter in meters for n, meaning in meter.columns.items()} | FINGERPRINT_COLUMNS


def _draft_files(stack: ExitStack) -> tuple[Path, Path]:
    """Create temporary files for signals and strip; the stack deletes them when it closes."""
    return _draft_file(stack, ".parquet"), _draft_file(stack, ".jpegs")


def _draft_file(stack: ExitStack, suffix: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=suffix, delete=False) as file:
        path = Path(file.name)
    stack.callback(path.unlink, missing_ok=True)
    return path
