"""From chances to places, and from places to boundaries."""

import numpy as np

from stages.shots.boundary import Boundary, candidates, taken


def _chances(frames: int) -> np.ndarray:
    return np.tile(np.array([0, 0, 0.2, 0.2, 0.6]), (frames, 1))


def test_a_cut_stands_at_the_highest_frame() -> None:
    chances = _chances(50)
    chances[19:22, 0] = 0.3, 0.9, 0.6
    assert candidates(chances) == [Boundary(20, 20, "cut", 0.9)]


def test_the_first_frame_opens_no_new_shot() -> None:
    chances = _chances(20)
    chances[0, 0] = 1
    assert candidates(chances) == []


def test_a_transition_reaches_as_far_as_half_of_its_height_and_has_the_likeliest_kind() -> None:
    chances = _chances(60)
    chances[20:30, 1] = 0.1, 0.3, 0.6, 0.8, 0.8, 0.8, 0.7, 0.45, 0.2, 0.1
    assert candidates(chances) == [Boundary(22, 28, "wipe", 0.8)]


def test_two_transitions_in_one_run_are_two() -> None:
    chances = _chances(80)
    chances[20:60, 1] = 0.06
    chances[20:30, 1] = chances[45:55, 1] = 0.9
    chances[45:55, 2:] = 0.8, 0.1, 0.1
    found = [place for place in candidates(chances) if place.score > 0.5]
    assert found == [Boundary(20, 30, "wipe", 0.9), Boundary(45, 55, "dissolve", 0.9)]


def test_of_places_that_touch_the_higher_is_taken() -> None:
    cut, wipe = Boundary(30, 30, "cut", 0.7), Boundary(20, 31, "wipe", 0.9)
    assert taken([cut, wipe], cut=0.5, transition=0.5) == [wipe]
    assert taken([cut, wipe], cut=0.5, transition=0.95) == [cut]
    assert taken([cut, wipe], cut=0.75, transition=0.95) == []
