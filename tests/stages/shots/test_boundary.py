"""From probabilities to candidates, and from candidates to boundaries."""

import numpy as np
import pytest

from stages.shots.boundary import Boundary, find_candidates, select_boundaries
from stages.shots.score_boundaries import combine_scores


def _probabilities(frames: int) -> np.ndarray:
    return np.tile(np.array([0, 0, 0.2, 0.2, 0.6]), (frames, 1))


def test_a_cut_is_at_the_highest_frame() -> None:
    probabilities = _probabilities(50)
    probabilities[19:22, 0] = 0.3, 0.9, 0.6
    assert find_candidates(probabilities) == [Boundary(20, 20, "cut", 0.9)]


def test_the_first_frame_is_never_a_cut() -> None:
    probabilities = _probabilities(20)
    probabilities[0, 0] = 1
    assert find_candidates(probabilities) == []


def test_a_transition_extends_to_half_of_its_maximum_and_has_the_most_probable_kind() -> None:
    probabilities = _probabilities(60)
    probabilities[20:30, 1] = 0.1, 0.3, 0.6, 0.8, 0.8, 0.8, 0.7, 0.45, 0.2, 0.1
    assert find_candidates(probabilities) == [Boundary(22, 28, "wipe", 0.8)]


def test_a_transition_may_last_two_frames() -> None:
    probabilities = _probabilities(40)
    probabilities[20:22, 1] = 0.6, 0.7
    assert find_candidates(probabilities) == [Boundary(20, 22, "wipe", 0.7)]


def test_two_transitions_in_one_run_are_separated() -> None:
    probabilities = _probabilities(80)
    probabilities[20:60, 1] = 0.06
    probabilities[20:30, 1] = probabilities[45:55, 1] = 0.9
    probabilities[45:55, 2:] = 0.8, 0.1, 0.1
    found = [place for place in find_candidates(probabilities) if place.score > 0.5]
    assert found == [Boundary(20, 30, "wipe", 0.9), Boundary(45, 55, "dissolve", 0.9)]


def test_of_touching_candidates_the_higher_one_is_selected() -> None:
    cut, wipe = Boundary(30, 30, "cut", 0.7), Boundary(20, 31, "wipe", 0.9)
    assert select_boundaries([cut, wipe], min_cut_score=0.5, min_transition_score=0.5) == [wipe]
    assert select_boundaries([cut, wipe], min_cut_score=0.5, min_transition_score=0.95) == [cut]
    assert select_boundaries([cut, wipe], min_cut_score=0.75, min_transition_score=0.95) == []


@pytest.mark.parametrize(
    ("fast", "other", "is_boundary"),
    [(0.2, 0.64, True), (0.35, 0.3, True), (0.6, 0.01, False), (0.7, 0.0, False)],
)
def test_transnet_raises_and_lowers_an_unsure_score(fast: float, other: float, is_boundary: bool) -> None:
    assert (combine_scores(fast, other) >= 0.5) == is_boundary


def test_exact_keeps_a_jump_cut_that_transnet_does_not_see() -> None:
    assert combine_scores(0.83, 0.002) >= 0.5  # measured: a subject before a fixed camera, without one second
