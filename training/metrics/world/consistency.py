"""3-D consistency of matches: Sampson error of known cameras, the published form, rotation homography."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.world.epipolar import (
    MIN_BASELINE,
    Array,
    fundamental_matrix,
    homography_error,
    parallax,
    relative_pose,
    sampson_error,
)
from training.metrics.world.matches import Matches, require_opencv

MIN_MATCHES = 16  # of two frames; with fewer the pair is not measured
MIN_PAIRS_SHARE = 0.5  # of the pairs of a gap; with fewer measured ones the video is not measured
NAN = math.nan


@dataclass(frozen=True)
class PairErrors:
    """Median errors of the matches of two frames, in px; NaN: not measured.

    Attributes:
        first: Number of the first frame.
        second: Number of the second frame.
        matches: Number of matches.
        calibrated: Sampson error of the matrix of the known cameras. NaN if the cameras are in one place.
        fitted: Sampson error of a matrix that RANSAC fits to the same matches, over all of them: the
            published temporal and cross-view Sampson errors.
        homography: Error of the rotation homography. NaN if the cameras are not in one place.
        parallax: Median motion along the epipolar lines, signed. NaN if the cameras are in one place.
    """

    first: int
    second: int
    matches: int
    calibrated: float = NAN
    fitted: float = NAN
    homography: float = NAN
    parallax: float = NAN


def measure_pair(
    matches: Matches, pose0: Array, k0: Array, pose1: Array, k1: Array, *, fit: bool = True
) -> PairErrors:
    """The errors of a pair; all are NaN with fewer than 16 matches.

    Args:
        matches: The matches of the two frames.
        pose0: Camera-to-world pose of the first frame, [3 4].
        k0: Its intrinsics, [3 3] px.
        pose1: Pose of the second frame.
        k1: Its intrinsics.
        fit: Whether to compute the published form as well.
    """
    numbers = (matches.first, matches.second, matches.count)
    if matches.count < MIN_MATCHES:
        return PairErrors(*numbers)
    x0, x1 = matches.x0, matches.x1
    fitted = fitted_error(x0, x1) if fit else NAN
    _, t = relative_pose(pose0, pose1)
    if np.linalg.norm(t) < MIN_BASELINE:
        error = homography_error(pose0, k0, pose1, k1, x0, x1)
        return PairErrors(*numbers, fitted=fitted, homography=float(np.median(error)))
    error = sampson_error(fundamental_matrix(pose0, k0, pose1, k1), x0, x1)
    along = float(np.nanmedian(parallax(pose0, k0, pose1, k1, x0, x1)))
    return PairErrors(*numbers, calibrated=float(np.median(error)), fitted=fitted, parallax=along)


def fitted_error(x0: Array, x1: Array) -> float:
    """Median Sampson error of the matrix that `cv2.findFundamentalMat` fits (RANSAC); NaN if there is none.

    It needs no cameras, so it says nothing about whether a video follows the requested ones: a frozen video
    has error 0.
    """
    cv2 = require_opencv()
    matrix, _ = cv2.findFundamentalMat(x0.astype(np.float32), x1.astype(np.float32), cv2.FM_RANSAC)
    if matrix is None or matrix.shape[0] < 3:
        return NAN
    return float(np.median(sampson_error(matrix[:3].astype(np.float64), x0, x1)))


def mean_of_pairs(values: Sequence[float]) -> float:
    """Mean over the measured pairs; NaN if fewer than half of the pairs are measured."""
    measured = [value for value in values if not math.isnan(value)]
    if not measured or len(measured) < MIN_PAIRS_SHARE * len(values):
        return NAN
    return float(np.mean(measured))
