"""Decodes each video once, and keeps every per-frame signal and a strip of stills."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Chunked, Needs
from stages.media.decode import Video, open_video
from stages.media.errors import Unreadable, Untimed
from stages.media.frame import Frame
from stages.media.orientation import upright
from stages.media.signals import SignalsWriter
from stages.media.strip import jpeg_of
from stages.scan.meter import Meter, View, meter_named
from stages.scan.spans import REACHES_S, WHOLE, Cold, Seen, Span, Watch, agree, spans_of

METERS = (
    "content", "light", "sharpness", "noise", "blocks", "colour", "motion", "repeats", "borders",
    "interlaced",
)  # fmt: skip


class Listed(Row):
    uri: str


class Scanned(Row):
    scanned_frames: int = column("decoded frames of the whole video")
    scanned_s: float = column("from the first frame to the end of the last", unit="s")
    scanned_end_pts: int = column("first tick after the last frame")
    variable_rate: bool = column("the time between frames varies by more than a tick or 1 %")
    signals: Artifact = column("Parquet, one row per frame: pts, time_s, the meters' columns, a thumb")
    strip: Artifact = column("stills, as JPEGs one after the other")
    strip_times_s: tuple[float, ...] = column("time of each still since the first frame", unit="s")
    strip_offsets: tuple[int, ...] = column("first byte of each still in the strip", unit="bytes")


class ScanVideo(Chunked[Listed, Span, Seen, Scanned]):
    """One pass over a video, in memory that does not grow with its length; a long one is shared out in spans.

    Stills are the first frames at or after each 1 / `stills_per_s`, upright, with square pixels,
    `still_px` on the longer side and never enlarged. A video that does not decode to its end, or
    ends well before its header says, is rejected: half a film has other shots than the film.
    """

    version = 2
    needs = Needs(memory_gb=1)
    place = frozenset({"threads", "span_s"})

    meters: tuple[str, ...] = METERS
    stills_per_s: float = 2.0
    still_px: int = 448
    still_quality: int = 85  # of JPEG, 1 … 100
    threads: int = 1  # of the decoder; the result is the same for any number
    span_s: float = 600.0  # of a long video that one worker takes; the result is the same for any; 0: all

    def split(self, row: Listed) -> Sequence[Span]:
        with open_video(row.uri, self.threads) as video:
            return spans_of(video, self.span_s)

    def work(self, row: Listed, piece: Span) -> Seen:
        import cv2

        cv2.setNumThreads(1)
        for reach_s in (0.0,) if piece.start_pts is None else REACHES_S:
            try:
                return self._see(row.uri, piece, reach_s)
            except Cold:
                continue
            except Untimed:
                break
        return Seen()

    def join(self, row: Listed, results: Sequence[Seen]) -> Scanned:
        if len(results) == 1:
            return _scanned(results[0])
        if not agree(results):
            return _scanned(self.work(row, WHOLE))
        with open_video(row.uri) as video:
            video.check_whole(
                (sum(seen.packets for seen in results), max(seen.reached_s for seen in results))
            )
        with ExitStack() as drafts:
            scanned = _scanned(self._put_together(results, *_drafts(drafts)))
            drafts.pop_all()  # the engine moves the files into the store
            return scanned

    def _see(self, uri: str, span: Span, reach_s: float) -> Seen:
        meters = [meter_named(name) for name in self.meters]
        vectors = any(getattr(meter, "reads_vectors", False) for meter in meters)
        with ExitStack() as drafts, open_video(uri, self.threads, vectors=vectors) as video:
            table, stills = _drafts(drafts)
            watch = Watch(video, span, self.stills_per_s)
            with SignalsWriter(table, _meanings(meters)) as writer, stills.open("wb") as strip:
                try:
                    for frame, view, within, due in watch.frames_from(reach_s):
                        if due:
                            view.still = self._still(view, frame, video)
                        values = [v for meter in meters for v in meter.update(view)]
                        if not within:
                            continue
                        if view.still is not None:
                            watch.strip_times_s.append(view.time_s)
                            watch.strip_offsets.append(strip.tell())
                            strip.write(jpeg_of(view.still, self.still_quality))
                        writer.append(frame.pts, view.time_s, values, view.thumb)
                except Untimed:
                    raise
                except Unreadable as reason:
                    if span.start_pts is None:
                        raise
                    return watch.seen(str(reason))  # whether one pass would say so, `join` sees
            if span.is_whole:
                if not watch.frames:
                    raise Unreadable("the video stream holds no frames")
                video.check_whole()
            seen = watch.seen()
            if seen.frames:
                seen = replace(seen, signals=Artifact.of_file(table), strip=Artifact.of_file(stills))
                drafts.pop_all()  # the engine moves the files into the store
            return seen

    def _put_together(self, spans: Sequence[Seen], table: Path, stills: Path) -> Seen:
        """All spans as one, with files that are the same, byte for byte, as those of one pass."""
        held = [seen for seen in spans if seen.frames]
        offsets: list[int] = []
        with (
            SignalsWriter(table, _meanings([meter_named(name) for name in self.meters])) as writer,
            stills.open("wb") as strip,
        ):
            for seen in held:
                assert seen.signals is not None
                assert seen.strip is not None
                with seen.signals.local() as path:
                    writer.copy(path)
                offsets += [strip.tell() + offset for offset in seen.strip_offsets]
                with seen.strip.local() as path, path.open("rb") as part:
                    shutil.copyfileobj(part, strip)
        gaps = [seen for seen in held if seen.longest]
        return replace(
            held[-1],
            frames=sum(seen.frames for seen in held),
            shortest=min((seen.shortest for seen in gaps), default=0),
            longest=max((seen.longest for seen in gaps), default=0),
            signals=Artifact.of_file(table),
            strip=Artifact.of_file(stills),
            strip_times_s=tuple(time_s for seen in held for time_s in seen.strip_times_s),
            strip_offsets=tuple(offsets),
        )

    def _still(self, view: View, frame: Frame, video: Video) -> np.ndarray:
        """uint8 BGR [h w 3], upright, square pixels."""
        import cv2

        width, height = video.shown_size(0)
        scale = min(1.0, self.still_px / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        full = view.full[::2] if view.interlaced else view.full  # one field: the other is of another time
        while full.shape[1] >= 2 * size[0] and full.shape[0] >= 2 * size[1]:  # averages, then bilinear
            full = cv2.resize(full, (full.shape[1] // 2, full.shape[0] // 2), interpolation=cv2.INTER_AREA)
        small = full if full.shape[1::-1] == size else cv2.resize(full, size, interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(upright(small, frame.turns))


def _scanned(whole: Seen) -> Scanned:
    assert whole.signals is not None
    assert whole.strip is not None
    return Scanned(
        scanned_frames=whole.frames,
        scanned_s=whole.end_s,
        scanned_end_pts=whole.end_pts,
        variable_rate=whole.longest > max(whole.shortest + 1, whole.shortest * 1.01),
        signals=whole.signals,
        strip=whole.strip,
        strip_times_s=whole.strip_times_s,
        strip_offsets=whole.strip_offsets,
    )


def _meanings(meters: Sequence[Meter]) -> dict[str, str]:
    return {name: meaning for meter in meters for name, meaning in meter.columns.items()}


def _drafts(stack: ExitStack) -> tuple[Path, Path]:
    """Temporary files for signals and strip, deleted unless the stack lets go of them."""
    return _draft(stack, ".parquet"), _draft(stack, ".jpegs")


def _draft(stack: ExitStack, suffix: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=suffix, delete=False) as file:
        path = Path(file.name)
    stack.callback(path.unlink, missing_ok=True)
    return path
