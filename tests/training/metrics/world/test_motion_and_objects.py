"""Motion scores, optical flow, and objects of a known color, on squares and discs at known places."""

import math

import numpy as np
import pytest

from training.metrics.world.flow import carry_masks, extrapolate
from training.metrics.world.motion import motion_masks, motion_scores
from training.metrics.world.objects import apply_affine, find_object, fit_affine, hold_last

RED = (200.0, 40.0, 40.0)


def _film(places: list[tuple[float, float]], size: int = 64, radius: float = 8.0) -> np.ndarray:
    """A red disc with soft edges on a textured gray ground."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.uniform(90, 160, (size // 4, size // 4)), np.ones((4, 4)))[..., None]
    y, x = (np.arange(size) + 0.5)[:, None], np.arange(size) + 0.5
    frames = []
    for cx, cy in places:
        cover = np.clip(radius + 0.5 - np.hypot(x - cx, y - cy), 0, 1)[..., None]
        frames.append((ground * (1 - cover) + np.array(RED) * cover + 0.5).astype(np.uint8))
    return np.stack(frames)


def _moving(step: float, count: int = 10) -> list[tuple[float, float]]:
    return [(14 + step * number, 30.25) for number in range(count)]


def test_equal_films_have_the_best_scores() -> None:
    film = _film(_moving(3))
    found = motion_scores(film, film, 1)
    assert (found.spatial_iou, found.spatiotemporal_iou, found.weighted_spatial_iou) == (1, 1, 1)
    assert found.mse == 0
    assert found.score == 100
    assert len(found.iou_by_frame) == 9


def test_a_frozen_film_and_a_late_one_have_lower_scores() -> None:
    film = _film(_moving(3))
    frozen = motion_scores(np.repeat(film[:1], len(film), 0), film, 1)
    assert (frozen.spatial_iou, frozen.weighted_spatial_iou) == (0, 0)
    late = motion_scores(np.concatenate([film[:1], film[:-1]]), film, 1)
    assert 0.5 < late.spatial_iou < 1
    assert late.spatiotemporal_iou < late.spatial_iou
    assert frozen.score < late.score < 100
    with pytest.raises(ValueError, match="cannot be compared"):
        motion_scores(film[:-1], film)


def test_motion_masks_are_where_it_moves() -> None:
    masks = motion_masks(_film(_moving(4, 4)))
    assert not masks[0].any()
    rows, columns = np.nonzero(masks[3])
    assert 20 < rows.min() <= rows.max() < 42
    assert 4 < columns.min() <= columns.max() < 40
    assert not motion_masks(_film([(20, 20)] * 4)).any()


def test_constant_velocity_continues_the_motion() -> None:
    film = _film(_moving(2))
    found = extrapolate(film[0], film[1], range(1, 5))
    places, copied = find_object(found, RED), find_object(film[1:2], RED)[0]
    truth = np.array(_moving(2))[2:6]
    assert np.abs(places - truth).max() < 1.5
    assert np.linalg.norm(copied - truth[-1]) == pytest.approx(8, abs=0.1)


def test_masks_follow_an_object() -> None:
    film = _film(_moving(2, 4))
    truth = np.linalg.norm(film.astype(float) - RED, axis=-1) < 60
    carried = carry_masks(truth[0].astype(np.uint8), film)
    overlap = (carried[-1] > 0) & truth[-1]
    assert overlap.sum() / ((carried[-1] > 0) | truth[-1]).sum() > 0.7
    with pytest.raises(ValueError, match="do not fit"):
        carry_masks(np.zeros((3, 3), np.uint8), film)


def test_an_object_is_found_within_a_tenth_of_a_pixel() -> None:
    rng = np.random.default_rng(1)
    truth = [tuple(place) for place in rng.uniform(12, 52, (20, 2))]
    assert np.abs(find_object(_film(truth), RED) - truth).max() < 0.1
    missing = find_object(np.full((2, 8, 8, 3), 128, np.uint8), RED)
    assert np.isnan(missing).all()


def test_a_missing_object_stays_where_it_was_last_found() -> None:
    nan = [math.nan, math.nan]
    held = hold_last(np.array([nan, [1.0, 2.0], nan]), np.array([9.0, 9.0]))
    np.testing.assert_array_equal(held, [[9, 9], [1, 2], [1, 2]])


def test_the_map_to_the_unit_of_the_state() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.uniform(0, 64, (30, 2))
    target = pixels * (1 / 64, -1 / 64) + (0, 1)
    pixels[4] = math.nan
    matrix, error = fit_affine(pixels, target)
    assert error < 1e-9
    np.testing.assert_allclose(apply_affine(matrix, np.array([[32.0, 16.0]])), [[0.5, 0.75]])
    with pytest.raises(ValueError, match="on one line"):
        fit_affine(np.arange(10.0).repeat(2).reshape(10, 2), np.zeros((10, 2)))
