"""Epipolar errors of exact and moved correspondences, alignment of paths, too little to measure."""

import math

import numpy as np
import pytest

from benchmarks.world.room import camera_path, look_rotation
from training.metrics.world.consistency import MIN_MATCHES, fitted_error, mean_of_pairs, measure_pair
from training.metrics.world.epipolar import (
    fundamental_matrix,
    homography_error,
    intrinsics_matrix,
    is_rotation,
    project,
    relative_pose,
    sampson_error,
)
from training.metrics.world.matches import Matches
from training.metrics.world.trajectory import pose_errors, rotation_angles_deg

K = intrinsics_matrix(np.array([300.0, 310.0, 224.0, 128.0]))


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform((-2, -1, 3), (2, 1, 8), (200, 3))


def _pose(yaw: float, *center: float) -> np.ndarray:
    return np.concatenate([look_rotation(yaw, 3.0), np.array(center)[:, None]], 1)


def test_exact_correspondences_have_no_error(points: np.ndarray) -> None:
    first, second = _pose(0, 0, 0, 0), _pose(7, 0.3, -0.1, 0.4)
    x0, x1 = project(points, first, K), project(points, second, K)
    assert sampson_error(fundamental_matrix(first, K, second, K), x0, x1).max() < 1e-9
    rotation, t = relative_pose(first, second)
    camera0, camera1 = ((points - p[:, 3]) @ p[:, :3] for p in (first, second))
    np.testing.assert_allclose(camera0 @ rotation.T + t, camera1, atol=1e-12)


def test_moved_points_have_the_known_error(points: np.ndarray) -> None:
    """A camera that moves to the right has horizontal epipolar lines: 3 px down is 3 / sqrt(2)."""
    first, second = _pose(0, 0, 0, 0), _pose(0, 0, 0, 0)
    second[:, 3] = second[:, :3] @ (0.5, 0, 0)
    x0, x1 = project(points, first, K), project(points, second, K)
    matrix = fundamental_matrix(first, K, second, K)
    np.testing.assert_allclose(sampson_error(matrix, x0, x1 + np.array([0, 3])), 3 / math.sqrt(2))
    assert sampson_error(matrix, x0, x1 + np.array([3, 0])).max() < 1e-9  # along the line


def test_the_world_and_the_unit_do_not_matter(points: np.ndarray) -> None:
    first, second = _pose(0, 0, 0, 0), _pose(7, 0.3, -0.1, 0.4)
    x0, x1 = project(points, first, K), project(points, second, K) + np.array([0.5, -1.0])
    error = sampson_error(fundamental_matrix(first, K, second, K), x0, x1)
    world = np.concatenate([_pose(50, 4, 5, 6), [[0, 0, 0, 1]]])
    moved = []
    for pose in (first, second):
        scaled = np.concatenate([pose[:, :3], 2 * pose[:, 3:]], 1)
        moved.append((world @ np.concatenate([scaled, [[0, 0, 0, 1]]]))[:3])
    np.testing.assert_allclose(sampson_error(fundamental_matrix(moved[0], K, moved[1], K), x0, x1), error)


def test_views_from_one_point_have_a_homography(points: np.ndarray) -> None:
    first, second = _pose(0, 1, 2, 3), _pose(5, 1, 2, 3)
    x0, x1 = project(points + np.array([1, 2, 3]), first, K), project(points + np.array([1, 2, 3]), second, K)
    assert homography_error(first, K, second, K, x0, x1).max() < 1e-9
    with pytest.raises(ValueError, match="one point"):
        fundamental_matrix(first, K, second, K)
    found = measure_pair(Matches(0, 1, x0, x1 + np.array([0, 2])), first, K, second, K)
    assert found.homography == pytest.approx(2)
    assert math.isnan(found.calibrated)
    assert found.matches == len(points)


def test_the_published_form_calls_a_frozen_video_perfect(points: np.ndarray) -> None:
    first, second = _pose(0, 0, 0, 0), _pose(2, 0.3, 0.2, 0)
    x0 = project(points, first, K)
    found = measure_pair(Matches(0, 1, x0, x0), first, K, second, K)
    assert found.fitted == pytest.approx(0, abs=1e-6)
    assert found.calibrated > 4


def test_parallax_sees_what_the_sampson_error_does_not(points: np.ndarray) -> None:
    """On a path without rotation, a frozen film, half the speed and the opposite way have Sampson error 0."""
    first = _pose(0, 0, 0, 0)
    for move in ((0.3, 0, 0), (0, 0, 0.4)):
        poses = {share: _pose(0, *(share * np.array(move))) for share in (1, 0.5, 0, -1)}
        x0 = project(points, first, K)
        found = {
            share: measure_pair(Matches(0, 1, x0, project(points, pose, K)), first, K, poses[1], K)
            for share, pose in poses.items()
        }
        assert max(each.calibrated for each in found.values()) < 1e-9
        shares = {share: each.parallax / found[1].parallax for share, each in found.items()}
        assert shares == {share: pytest.approx(share, abs=0.12) for share in shares}
        assert found[1].parallax > 4


def test_too_few_matches_are_not_measured(points: np.ndarray) -> None:
    first, second = _pose(0, 0, 0, 0), _pose(2, 0.3, 0, 0)
    x0, x1 = (project(points[: MIN_MATCHES - 1], pose, K) for pose in (first, second))
    found = measure_pair(Matches(0, 1, x0, x1), first, K, second, K)
    assert math.isnan(found.calibrated)
    assert math.isnan(found.fitted)
    assert math.isnan(mean_of_pairs([1.0, math.nan, math.nan]))
    assert mean_of_pairs([1.0, 2.0, math.nan]) == 1.5
    assert math.isnan(mean_of_pairs([]))
    assert math.isnan(fitted_error(np.zeros((20, 2)), np.zeros((20, 2))))  # no matrix


def test_a_matrix_that_is_no_rotation_is_found() -> None:
    assert is_rotation(look_rotation(20, 5))
    for wrong in (np.diag([1, 1, -1.0]), 1.01 * np.eye(3), np.full((3, 3), np.nan)):
        assert not is_rotation(wrong)


@pytest.mark.parametrize("kind", ["arc", "forward"])
def test_alignment_undoes_a_similarity_also_of_a_straight_path(kind: str) -> None:
    path = camera_path(kind, 9)
    turn, every = look_rotation(33, 12), np.ones(9, bool)
    moved = np.concatenate([turn @ path[:, :, :3], 3 * (turn @ path[:, :, 3:]) + np.ones((3, 1))], 2)
    errors = pose_errors(moved, every, path)
    assert errors.rotation_deg.max() < 1e-5
    assert errors.translation_percent < 1e-9
    turned = moved.copy()
    turned[4, :, :3] = turned[4, :, :3] @ look_rotation(9)
    assert pose_errors(turned, every, path).rotation_deg[4] == pytest.approx(9, abs=0.01)
    has_pose = every.copy()
    has_pose[2] = False
    partial = pose_errors(moved, has_pose, path)
    assert math.isnan(partial.rotation_deg[2])
    assert np.nansum(partial.translation) < 1e-9


def test_a_path_in_one_place_has_no_translation_error() -> None:
    path = camera_path("rotate", 5)
    errors = pose_errors(path, np.ones(5, bool), path)
    assert errors.rotation_deg.max() < 1e-5
    assert math.isnan(errors.translation_percent)
    still = pose_errors(camera_path("still", 5), np.ones(5, bool), camera_path("left", 5))
    assert still.translation_percent == pytest.approx(100 * np.mean([2, 1, 0, 1, 2]) / 4)


def test_small_and_large_angles() -> None:
    angles = np.array([1e-6, 0.5, 90.0, 179.9])
    turned = np.stack([look_rotation(angle) for angle in angles])
    np.testing.assert_allclose(rotation_angles_deg(turned, np.stack([np.eye(3)] * 4)), angles, rtol=1e-6)
