"""Splits a video into its shots, and long shots into even pieces."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from manifests import Artifact, Row
from pipeline import Expand
from stages.media.signals import read_signals
from stages.shots.boundary import Boundary, taken
from stages.shots.shot import Film, Shot, shots_between

if TYPE_CHECKING:
    import pyarrow as pa


class Scored(Row):
    signals: Artifact
    scanned_frames: int
    scanned_end_pts: int
    time_base_num: int
    time_base_den: int
    first_pts: int
    boundary_starts: tuple[int, ...]
    boundary_ends: tuple[int, ...]
    boundary_start_pts: tuple[int, ...]
    boundary_end_pts: tuple[int, ...]
    boundary_kinds: tuple[str, ...]
    boundary_scores: tuple[float, ...]


class FindShots(Expand[Scored, Shot]):
    """The places that `ScoreBoundaries` scored high enough bound the shots.

    Cuts bound them; the frames of dissolves, fades and wipes belong to none, and are rows of their own,
    whose `kind` says so: the recipe drops them. In this order: boundaries by their scores, the higher
    first, so that a cut within a transition counts as the one that scores more; transitions
    set apart; shots longer than `max_duration_s` split into the fewest pieces of equal length. The rows cover
    the video without holes; a video without a boundary is one shot. What is too short is for the
    recipe to drop. A clip's id, and all that is `by_id`, depend on its span alone, so that under other
    settings a clip that is found again is not worked on again.
    """

    from_store = True

    min_cut_score: float = 0.5  # score that a cut must reach, 0.05 … 1
    min_transition_score: float = 0.5  # score that a dissolve, fade or wipe must reach
    max_duration_s: float = 60.0  # 0 leaves long shots whole

    def expand(self, row: Scored) -> Iterator[Shot]:
        places = zip(
            row.boundary_starts, row.boundary_ends, row.boundary_kinds, row.boundary_scores, strict=True
        )
        boundaries = taken(
            (Boundary(*place) for place in places), self.min_cut_score, self.min_transition_score
        )
        edges = {
            0: row.first_pts,
            row.scanned_frames: row.scanned_end_pts,
            **dict(zip(row.boundary_starts, row.boundary_start_pts, strict=True)),
            **dict(zip(row.boundary_ends, row.boundary_end_pts, strict=True)),
        }

        def pts() -> np.ndarray:
            return np.append(read_signals(row.signals, ["pts"])["pts"], row.scanned_end_pts)

        base = Fraction(row.time_base_num, row.time_base_den)
        yield from shots_between(Film(row.scanned_frames, base, pts, edges), boundaries, self.max_duration_s)

    def expand_many(self, rows: "pa.Table") -> "pa.Table":
        from stages.shots.shots_of_many import shots_of_many

        return shots_of_many(rows, self.min_cut_score, self.min_transition_score, self.max_duration_s)
