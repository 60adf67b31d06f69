"""Decodes each video once, and keeps every per-frame signal and a strip of stills."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.decode import Frame, Video, open_video
from stages.media.errors import Unreadable
from stages.media.signals import SignalsWriter
from stages.media.timecode import seconds_of
from stages.scan.meter import View, meter_named, small_size

METERS = ("content", "light", "sharpness", "noise", "blocks", "colour", "motion", "repeats", "borders")


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


class ScanVideo(Annotate[Listed, Scanned]):
    """One pass over a video, in memory that does not grow with its length.

    Stills are the first frames at or after each 1 / `stills_per_s`, upright, with square pixels,
    `still_px` on the longer side and never enlarged. A video that does not decode to its end, or
    ends well before its header says, is rejected: half a film has other shots than the film.
    """

    needs = Needs(memory_gb=1)
    place = frozenset({"threads"})

    meters: tuple[str, ...] = METERS
    stills_per_s: float = 2.0
    still_px: int = 448
    still_quality: int = 85  # of JPEG, 1 … 100
    threads: int = 1  # of the decoder; the result is the same for any number

    def annotate(self, rows: Sequence[Listed]) -> Iterator[Scanned | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            try:
                yield self._scan(row.uri)
            except Reject as reject:
                yield reject

    def _scan(self, uri: str) -> Scanned:
        meters = [meter_named(name) for name in self.meters]
        meanings = {name: meaning for meter in meters for name, meaning in meter.columns.items()}
        with ExitStack() as drafts, open_video(uri, self.threads) as video:
            table, stills = _draft(drafts, ".parquet"), _draft(drafts, ".jpegs")
            seen = _Seen(video)
            with SignalsWriter(table, meanings) as writer, stills.open("wb") as strip:
                for frame in video.frames():
                    view = seen.look(frame)
                    if view.time_s * self.stills_per_s >= len(seen.strip_times_s):
                        view.still = self._still(view, frame, video)
                        seen.strip_times_s.append(view.time_s)
                        seen.strip_offsets.append(strip.tell())
                        strip.write(_jpeg(view.still, self.still_quality))
                    writer.append(
                        frame.pts,
                        view.time_s,
                        [v for meter in meters for v in meter.update(view)],
                        view.thumb,
                    )
            if not seen.frames:
                raise Unreadable("the video stream holds no frames")
            video.check_whole()
            scanned = seen.row(Artifact.of_file(table), Artifact.of_file(stills))
            drafts.pop_all()  # the engine moves the files into the store
            return scanned

    def _still(self, view: View, frame: Frame, video: Video) -> np.ndarray:
        """uint8 BGR [h w 3], upright, square pixels."""
        import cv2

        width, height = video.shown_size(0)
        scale = min(1.0, self.still_px / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        full = view.full
        while full.shape[1] >= 2 * size[0] and full.shape[0] >= 2 * size[1]:  # averages, then bilinear
            full = cv2.resize(full, (full.shape[1] // 2, full.shape[0] // 2), interpolation=cv2.INTER_AREA)
        small = full if full.shape[1::-1] == size else cv2.resize(full, size, interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(np.rot90(small, frame.turns))


class _Seen:
    """What has been seen of a video so far."""

    def __init__(self, video: Video) -> None:
        self.video = video
        self.small = small_size(video.coded_width_px, video.coded_height_px)
        self.frames, self.first_pts, self.last_pts, self.end_pts, self.turns = 0, 0, 0, 0, 0
        self.shortest, self.longest = 0, 0  # ticks between two frames
        self.strip_times_s: list[float] = []
        self.strip_offsets: list[int] = []

    def look(self, frame: Frame) -> View:
        """The next frame, as the meters see it."""
        if not self.frames:
            self.first_pts = self.last_pts = frame.pts
            self.turns = frame.turns
        if frame.turns != self.turns:  # a video is turned as its first frame is
            frame = replace(frame, turns=self.turns)
        gap = frame.pts - self.last_pts
        if self.frames:
            self.shortest, self.longest = min(self.shortest or gap, gap), max(self.longest, gap)
        self.frames, self.last_pts, self.end_pts = self.frames + 1, frame.pts, frame.pts + frame.duration
        base = self.video.time_base
        return View(frame, seconds_of(frame.pts - self.first_pts, base), seconds_of(gap, base), self.small)

    def row(self, signals: Artifact, strip: Artifact) -> Scanned:
        return Scanned(
            scanned_frames=self.frames,
            scanned_s=seconds_of(self.end_pts - self.first_pts, self.video.time_base),
            scanned_end_pts=self.end_pts,
            variable_rate=self.longest > max(self.shortest + 1, self.shortest * 1.01),
            signals=signals,
            strip=strip,
            strip_times_s=tuple(self.strip_times_s),
            strip_offsets=tuple(self.strip_offsets),
        )


def _draft(stack: ExitStack, suffix: str) -> Path:
    """A temporary file, deleted unless the stack lets go of it."""
    with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=suffix, delete=False) as file:
        path = Path(file.name)
    stack.callback(path.unlink, missing_ok=True)
    return path


def _jpeg(picture: np.ndarray, quality: int) -> bytes:  # BGR
    import cv2

    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
