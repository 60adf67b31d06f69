"""3-D consistency: calibrated Sampson error over gaps, the published form, and rotation homographies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from training.evaluation.world.films import Footage
from training.evaluation.world.measure import CONDITION_ROWS, Candidate, Clip, Column, Measured
from training.metrics.world.consistency import (
    MIN_MATCHES,
    PairErrors,
    fitted_error,
    mean_of_pairs,
    measure_pair,
)
from training.metrics.world.epipolar import intrinsics_matrix
from training.metrics.world.matches import MAX_FEATURES, RATIO, Matches, match_frames

MIN_PARALLAX_PX = 0.5  # of a pair of the reference; with less its share is not measured


@dataclass(frozen=True)
class Sampson:
    """Errors of SIFT matches against the cameras of the condition.

    Attributes:
        gaps: Frames between the two frames of a pair.
        max_pairs: Maximum number of pairs for each gap, evenly spaced.
    """

    name: ClassVar[str] = "sampson"
    reads_condition: ClassVar[bool] = True
    gaps: tuple[int, ...] = (1, 2, 4, 8)
    max_pairs: int = 16

    @property
    def main(self) -> str:
        """See `Measure`."""
        return f"sampson_gap{self.gaps[-1]}_px"

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        last, columns = self.gaps[-1], []
        meaning = "Sampson error of the requested cameras, mean of the medians of pairs"
        for gap in self.gaps:
            columns.append(Column(f"sampson_gap{gap}_px", f"gap {gap} px", ".3f", "lower", meaning))
        meaning = "Sampson error of a fitted matrix: the published form, which knows no cameras"
        for gap in {self.gaps[0]: 0, last: 0}:
            columns.append(Column(f"fitted_gap{gap}_px", f"fitted {gap} px", ".3f", "", meaning))
        meaning = (
            "motion along the epipolar lines over that of the reference: 0 is frozen, -1 the opposite way"
        )
        columns.append(Column(f"parallax_gap{last}", f"parallax {last}", ".3f", "", meaning))
        meaning = "mean of |parallax - 1| over pairs: what the Sampson error does not see"
        columns.append(Column(f"parallax_error_gap{last}", f"parallax error {last}", ".3f", "lower", meaning))
        meaning = "error of the rotation homography, where the requested camera stays in one place"
        columns.append(Column(f"homography_gap{last}_px", f"rotation {last} px", ".3f", "lower", meaning))
        meaning = f"SIFT matches of a pair; with fewer than {MIN_MATCHES} it is not measured"
        columns.append(Column(f"matches_gap{last}", f"matches {last}", ".0f", "", meaning))
        return columns

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        if clip.conditions.poses is None or clip.conditions.intrinsics is None:
            return "there is no camera_pose with camera_intrinsics in its conditions"
        count = len(clip.footage.frames)
        return "" if count > self.gaps[0] else f"{count} frames have no pair of gap {self.gaps[0]}"

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        memo, frames = self._match(candidate.footage), candidate.footage.frames
        values: dict[str, float] = {}
        for gap, pairs in memo["matches"].items():
            errors = [_measure(pair, candidate) for pair in pairs]
            values[f"sampson_gap{gap}_px"] = mean_of_pairs([each.calibrated for each in errors])
            values[f"homography_gap{gap}_px"] = mean_of_pairs([each.homography for each in errors])
            values[f"matches_gap{gap}"] = float(np.mean([e.matches for e in errors])) if errors else math.nan
            if gap in memo["fitted"]:
                values[f"fitted_gap{gap}_px"] = mean_of_pairs(memo["fitted"][gap])
        curve = np.full(len(frames), math.nan)
        for each in errors:
            curve[each.second] = each.homography if math.isnan(each.calibrated) else each.calibrated
        last = self.gaps[-1]
        values |= self._parallax(errors, candidate, clip)
        few = sum(each.matches < MIN_MATCHES for each in errors)
        why = (
            f"{few} of {len(errors)} pairs of gap {last} have fewer than {MIN_MATCHES} matches" if few else ""
        )
        return Measured(values, {self.main: curve}, why)

    def _match(self, footage: Footage) -> dict[str, Any]:
        """The matches of a film by gap, and fitted errors at the first and the last gap; computed once."""
        memo = footage.memo
        if "matches" not in memo:
            memo["matches"] = match_frames(footage.frames, self.gaps, self.max_pairs)
            memo["fitted"] = {
                gap: [_fit(pair) for pair in memo["matches"][gap]] for gap in (self.gaps[0], self.gaps[-1])
            }
        return memo

    def _parallax(self, errors: Sequence[PairErrors], candidate: Candidate, clip: Clip) -> dict[str, float]:
        """Parallax of the last gap over that of the reference, and its error; for the clip's own cameras."""
        if candidate.row in CONDITION_ROWS:
            return {}
        last = self.gaps[-1]
        reference = Candidate(candidate.row, clip.footage, clip.conditions)
        wanted = [_measure(pair, reference).parallax for pair in self._match(clip.footage)["matches"][last]]
        shares = [
            each.parallax / truth if abs(truth) >= MIN_PARALLAX_PX else math.nan
            for each, truth in zip(errors, wanted, strict=True)
        ]
        error = mean_of_pairs([abs(share - 1) for share in shares])
        return {f"parallax_gap{last}": mean_of_pairs(shares), f"parallax_error_gap{last}": error}

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {
            "features": f"SIFT, {MAX_FEATURES} per frame, ratio {RATIO}",
            "gaps": list(self.gaps),
            "max_pairs": self.max_pairs,
            "min_matches": MIN_MATCHES,
            "min_parallax_px": MIN_PARALLAX_PX,
        }


def _fit(pair: Matches) -> float:
    return fitted_error(pair.x0, pair.x1) if pair.count >= MIN_MATCHES else math.nan


def _measure(pair: Matches, candidate: Candidate) -> PairErrors:
    poses, intrinsics = candidate.conditions.poses, candidate.conditions.intrinsics
    assert poses is not None
    assert intrinsics is not None
    k0, k1 = (intrinsics_matrix(intrinsics[number]) for number in (pair.first, pair.second))
    return measure_pair(pair, poses[pair.first], k0, poses[pair.second], k1, fit=False)
