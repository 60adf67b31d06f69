"""Splits a video into its shots, and long shots into even pieces."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Expand
from stages.media.signals import read_signals
from stages.media.timecode import seconds_of
from stages.shots.adaptive import adaptive_cuts, content_score

COMPONENTS = ("delta_hue", "delta_sat", "delta_lum")


class Scanned(Row):
    signals: Artifact
    scanned_end_pts: int
    fps: float
    time_base_num: int
    time_base_den: int


class Shot(Row):
    start_pts: int = column("pts of the first frame, in ticks of the video's time base", key=True)
    end_pts: int = column("first tick after the last frame", key=True)
    start_frame: int = column("index of the first frame in the video", by_id=True)
    end_frame: int = column("index after the last frame", by_id=True)
    frames: int = column("frames of the clip", by_id=True)
    start_s: float = column("start, from the first frame of the video", unit="s", by_id=True)
    end_s: float = column("end, from the first frame of the video", unit="s", by_id=True)
    duration_s: float = column("length of the clip", unit="s", by_id=True)
    shot: int = column("number of its shot in the video, from 0")
    piece: int = column("number of the piece in its shot, from 0")
    pieces: int = column("pieces that the shot was split into")


class FindShots(Expand[Scanned, Shot]):
    """Cuts by PySceneDetect's adaptive detector, replayed from the stored content change.

    The shots cover the video without holes; a video without a cut is one shot. A shot longer than
    `max_s` is split into the fewest pieces of equal length that are not longer. Short shots are
    given too: what is too short is for the recipe to say. A clip's id, and all that is `by_id`, depend on
    its span alone, so that under other settings a clip that is found again is not worked on again.
    """

    adaptive_threshold: float = 3.0  # content change over its mean in the frames around
    min_content: float = 15.0  # content change that a cut must reach, 0 … 255
    window: int = 2  # frames on each side that make the mean
    min_shot_frames: int = 15  # at the average frame rate, between two cuts
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # of the change of hue, saturation and value
    max_s: float = 60.0  # 0 leaves long shots whole

    def expand(self, row: Scanned) -> Iterator[Shot]:
        base = Fraction(row.time_base_num, row.time_base_den)
        stored = read_signals(row.signals, ("pts", *COMPONENTS))
        pts = stored["pts"]
        edges = [0, *self._cuts(stored, row.fps * float(base)), len(pts)]
        ticks = np.append(pts, row.scanned_end_pts)
        for shot, (start, end) in enumerate(pairwise(edges)):
            pieces = self._pieces(ticks, start, end, base)
            for piece, (first, last) in enumerate(pairwise(pieces)):
                start_pts, end_pts = int(ticks[first]), int(ticks[last])
                yield Shot(
                    start_pts=start_pts,
                    end_pts=end_pts,
                    start_frame=first,
                    end_frame=last,
                    frames=last - first,
                    start_s=seconds_of(start_pts - int(pts[0]), base),
                    end_s=seconds_of(end_pts - int(pts[0]), base),
                    duration_s=seconds_of(end_pts - start_pts, base),
                    shot=shot,
                    piece=piece,
                    pieces=len(pieces) - 1,
                )

    def _cuts(self, stored: dict[str, np.ndarray], frames_per_tick: float) -> list[int]:
        deltas = np.stack([stored[name].astype(np.float64) for name in COMPONENTS], 1)
        score = content_score(deltas, self.weights)
        numbers = np.rint((stored["pts"] - stored["pts"][0]) * frames_per_tick).astype(int)
        return adaptive_cuts(
            score,
            numbers,
            threshold=self.adaptive_threshold,
            floor=self.min_content,
            window=self.window,
            apart=self.min_shot_frames,
        )

    def _pieces(self, ticks: np.ndarray, start: int, end: int, base: Fraction) -> list[int]:
        """Frames at which the pieces of a shot begin, and its end."""
        whole = int(ticks[end] - ticks[start])
        count = max(1, ceil(whole * base / Fraction(self.max_s))) if self.max_s else 1
        wanted = [int(ticks[start]) + whole * k // count for k in range(1, count)]
        inner = np.searchsorted(ticks[: end + 1], wanted).tolist()
        return sorted({start, *(f for f in inner if start < f < end), end})
