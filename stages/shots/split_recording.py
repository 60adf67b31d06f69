"""Splits each camera of a recording into clips that begin and end at the times of all other cameras."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from manifests import Artifact, NonNegativeFloat, PositiveFloat, Row, column
from manifests.identity import id_of
from pipeline import Expand
from stages.media.signals import read_signals
from stages.media.timecode import ticks_to_seconds
from stages.shots.align_cameras import NANOSECONDS
from stages.shots.shot import PictureSizes, Shot

TOLERANCE_S = Fraction(1, 10**6)  # times are rounded to nanoseconds, and a frame may begin at a rounded time
PARTIAL = "partial"
NO_FRAMES = "no_frames"


class AlignedCamera(Row):
    parent: str
    camera_name: str
    camera_start_s: float
    common_starts_ns: tuple[int, ...]
    common_ends_ns: tuple[int, ...]
    common_kinds: tuple[str, ...]
    signals: Artifact
    first_pts: int
    scanned_end_pts: int
    time_base_num: int
    time_base_den: int
    video_width_px: int
    video_height_px: int
    format_changes: tuple[int, ...] = ()
    format_widths_px: tuple[int, ...] = ()
    format_heights_px: tuple[int, ...] = ()


class CameraClip(Shot):
    recording_clip: str = column(
        "id of the clip's time in its recording; the same for all cameras", group=True
    )
    recording_start_s: float = column("start of the clip on the clock of the recording", unit="s")
    recording_frames: int = column("number of frames of the clip of each camera at `fps`; 0 if it is no shot")


class SplitRecording(Expand[AlignedCamera, CameraClip]):
    """Splits the spans that `AlignCameras` found into clips of a whole number of frames at `fps`.

    The clips of all cameras have the same times on the clock of the recording, so `CutClip` with the same
    `fps` gives them the same number of frames. What is left of a shot after its last whole frame is lost.
    What only some cameras show is a row of kind "partial"; a clip in which a camera has no frame is a row of
    kind "no_frames" of this camera. The recipe drops both.

    Attributes:
        fps: Frame rate of the clips, in frames per second. Higher values give clips of more frames.
        max_duration_s: Maximum duration of a clip in seconds. Longer shots are split into the fewest pieces
            of equal length; 0 does not split. Higher values make fewer and longer clips.
    """

    from_store = True

    fps: PositiveFloat = 24.0
    max_duration_s: NonNegativeFloat = 60.0

    def expand(self, row: AlignedCamera) -> Iterator[CameraClip]:
        camera = _Camera(row)
        first = last = camera.first_pts
        shot = 0
        spans = zip(row.common_starts_ns, row.common_ends_ns, row.common_kinds, strict=True)
        for number, (start_ns, end_ns, kind) in enumerate(spans):
            if not number:
                first = camera.pts_at(start_ns)
            last = camera.pts_at(end_ns)
            if kind == "shot":
                yield from self._pieces(camera, start_ns, end_ns, shot)
                shot += 1
            else:
                ends = camera.pts_at(start_ns), last
                yield from camera.clip(ends, kind, start_ns, 0, (max(0, shot - 1), 0, 1))
        for ends in ((camera.first_pts, first), (last, row.scanned_end_pts)):
            yield from camera.clip(ends, PARTIAL, camera.ns_at(ends[0]), 0, (0, 0, 1))

    def _pieces(self, camera: "_Camera", start_ns: int, end_ns: int, shot: int) -> Iterator[CameraClip]:
        """The clips of a shot."""
        rate = Fraction(self.fps).limit_denominator(1001)
        frames = int((Fraction(end_ns - start_ns, NANOSECONDS) + TOLERANCE_S) * rate)
        longest = max(1, int(Fraction(self.max_duration_s) * rate)) if self.max_duration_s else max(1, frames)
        pieces = -(-frames // longest)
        for piece in range(pieces):
            begin, end = (frames * edge // pieces for edge in (piece, piece + 1))
            time_ns = start_ns + round(begin / rate * NANOSECONDS)
            start_pts = camera.pts_at(time_ns)
            ends = start_pts, camera.end_pts(start_pts, end - begin, rate)
            yield from camera.clip(ends, "shot", time_ns, end - begin, (shot, piece, pieces), self.fps)


class _Camera:
    """The file of a camera, and its clips."""

    def __init__(self, row: AlignedCamera) -> None:
        self.row, self.first_pts = row, row.first_pts
        self.time_base = Fraction(row.time_base_num, row.time_base_den)
        self.start = Fraction(row.camera_start_s).limit_denominator(NANOSECONDS)
        self.pts = read_signals(row.signals, ["pts"])["pts"]
        size = row.video_width_px, row.video_height_px
        self.sizes = PictureSizes(size, row.format_changes, row.format_widths_px, row.format_heights_px)

    def pts_at(self, time_ns: int) -> int:
        """The pts at a time on the clock of the recording; frames up to 1 µs before it are not earlier."""
        ticks = (Fraction(time_ns, NANOSECONDS) - self.start - TOLERANCE_S) / self.time_base
        return max(self.first_pts, self.first_pts + round(ticks))

    def ns_at(self, pts: int) -> int:
        """The time of a pts on the clock of the recording, in nanoseconds."""
        return round((self.start + (pts - self.first_pts) * self.time_base) * NANOSECONDS)

    def end_pts(self, start_pts: int, frames: int, rate: Fraction) -> int:
        """The end of a clip of a number of frames, so that `CutClip` writes exactly this number."""
        step = 1 / rate / self.time_base
        nearest = round(frames * step)
        lengths = (nearest, nearest + 1, nearest - 1)
        return start_pts + next((n for n in lengths if round(n / step) == frames), nearest)

    def clip(
        self,
        ends: tuple[int, int],
        kind: str,
        time_ns: int,
        frames: int,
        place: tuple[int, int, int],
        fps: float = 0.0,
    ) -> Iterator[CameraClip]:
        """The row of a span, if it is not empty.

        Args:
            ends: First pts, and pts after the last frame.
            kind: Kind of the span.
            time_ns: Its start on the clock of the recording.
            frames: Its number of frames at `fps`.
            place: Index of the shot, index of the piece, number of pieces.
            fps: Frame rate of the clip.
        """
        start_pts, end_pts = ends
        if end_pts <= start_pts:
            return
        start, end = (int(frame) for frame in np.searchsorted(self.pts, ends))
        if start == end and kind != "shot":
            return
        width_px, height_px = self.sizes.at(start)
        recording = self.row.parent
        own = (self.row.camera_name,) if kind == PARTIAL else ()
        yield CameraClip(
            start_pts=start_pts,
            end_pts=end_pts,
            start_frame=start,
            end_frame=end,
            frames=end - start,
            start_s=ticks_to_seconds(start_pts - self.first_pts, self.time_base),
            end_s=ticks_to_seconds(end_pts - self.first_pts, self.time_base),
            duration_s=ticks_to_seconds(end_pts - start_pts, self.time_base),
            width_px=width_px,
            height_px=height_px,
            kind=kind if end > start else NO_FRAMES,
            shot=place[0],
            piece=place[1],
            pieces=place[2],
            recording_clip=id_of("recording clip", recording, kind, time_ns, frames, fps, *own),
            recording_start_s=time_ns / NANOSECONDS,
            recording_frames=frames,
        )
