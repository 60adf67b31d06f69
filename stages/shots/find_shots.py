"""Splits a video into its shots, and long shots into even pieces."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import numpy as np

from manifests import Artifact, NonNegativeFloat, Range, Row
from pipeline import Expand
from stages.media.signals import read_signals
from stages.shots.boundary import Boundary, select_boundaries
from stages.shots.shot import FrameTimes, PictureSizes, Shot, split_video

if TYPE_CHECKING:
    import pyarrow as pa


class ScoredVideo(Row):
    signals: Artifact
    scanned_frames: int
    scanned_end_pts: int
    time_base_num: int
    time_base_den: int
    video_width_px: int
    video_height_px: int
    first_pts: int
    boundary_starts: tuple[int, ...]
    boundary_ends: tuple[int, ...]
    boundary_start_pts: tuple[int, ...]
    boundary_end_pts: tuple[int, ...]
    boundary_kinds: tuple[str, ...]
    boundary_scores: tuple[float, ...]
    clock_jumps: tuple[int, ...] = ()
    clock_jump_end_pts: tuple[int, ...] = ()
    format_changes: tuple[int, ...] = ()
    format_widths_px: tuple[int, ...] = ()
    format_heights_px: tuple[int, ...] = ()


class FindShots(Expand[ScoredVideo, Shot]):
    """Splits a video at the boundaries that `ScoreBoundaries` scored high enough.

    Boundaries are selected by their score, the highest first: a cut within a transition counts if it scores
    higher. The frames of dissolves, fades and wipes belong to no shot. They are rows of their own, whose
    `kind` says so, and the recipe drops them. The rows cover the video without holes; a video without a
    boundary is one shot. The recipe drops clips that are too short. A clip's id, and all columns that are
    `by_id`, depend only on its span, so other settings do not recompute a clip that is found again.

    Attributes:
        min_cut_score: Minimum score of a cut, 0.05 to 1. Higher values find fewer cuts.
        min_transition_score: Minimum score of a dissolve, fade or wipe, 0.05 to 1. Higher values find fewer
            transitions.
        max_duration_s: Maximum duration of a clip in seconds. Longer shots are split into the fewest pieces
            of equal length, and a frame that is shown for longer ends its clip after this time; 0 does not
            split. Higher values make fewer and longer clips.
    """

    version = 3
    from_store = True

    min_cut_score: Annotated[float, Range(0.05, 1)] = 0.5
    min_transition_score: Annotated[float, Range(0.05, 1)] = 0.5
    max_duration_s: NonNegativeFloat = 60.0

    def expand(self, row: ScoredVideo) -> Iterator[Shot]:
        columns = zip(
            row.boundary_starts, row.boundary_ends, row.boundary_kinds, row.boundary_scores, strict=True
        )
        candidates = (Boundary(*values) for values in columns)
        boundaries = select_boundaries(candidates, self.min_cut_score, self.min_transition_score)
        known_pts = {
            0: row.first_pts,
            row.scanned_frames: row.scanned_end_pts,
            **dict(zip(row.boundary_starts, row.boundary_start_pts, strict=True)),
            **dict(zip(row.boundary_ends, row.boundary_end_pts, strict=True)),
        }

        def read_pts() -> np.ndarray:
            return np.append(read_signals(row.signals, ["pts"])["pts"], row.scanned_end_pts)

        time_base = Fraction(row.time_base_num, row.time_base_den)
        end_pts = dict(zip(row.clock_jumps, row.clock_jump_end_pts, strict=True))
        times = FrameTimes(row.scanned_frames, time_base, read_pts, known_pts, end_pts)
        size = row.video_width_px, row.video_height_px
        sizes = PictureSizes(size, row.format_changes, row.format_widths_px, row.format_heights_px)
        yield from split_video(times, boundaries, self.max_duration_s, sizes)

    def expand_many(self, rows: "pa.Table") -> "pa.Table":
        from stages.shots.shots_vectorized import find_shots

        return find_shots(rows, self.min_cut_score, self.min_transition_score, self.max_duration_s)
