"""Repeated frames: frames without change, and doubled frames that the codec changed a little."""

import numpy as np

from stages.quality.measures.repeated_frames import find_repeated


def test_doubled_frames_are_found_although_coded_again() -> None:
    mean = np.array([255, 0.2, 3, 0.3, 2, 0.1, 3, 0.2, 0.2, 3])
    largest = np.where(mean > 1, 90.0, 11.0)
    assert np.flatnonzero(find_repeated(largest, mean, 6.0)).tolist() == [2, 4, 6, 7]
    assert np.flatnonzero(find_repeated(np.minimum(largest, 5), mean, 6.0)).tolist() == list(range(9))


def test_a_slow_moment_is_not_a_repeat() -> None:
    mean = np.array([255, 3, 2, 1, 0.7, 0.5, 0.7, 1, 2, 3])
    assert not find_repeated(np.full(10, 40.0), mean, 6.0).any()
    assert find_repeated(np.array([255.0]), np.array([255.0]), 6.0).size == 0


def test_a_key_frame_in_a_still_image_is_a_repeat() -> None:
    largest, mean = np.full(20, 3.0), np.full(20, 0.1)
    largest[[0, 9, 15]], mean[[0, 9, 15]] = (255, 20, 90), (255, 0.6, 0.9)
    assert np.flatnonzero(~find_repeated(largest, mean, 6.0)).tolist() == [14]
    assert find_repeated(largest[:12], mean[:12], 6.0)[8] == np.False_, (
        "two frames at rest after it are too few"
    )


def test_new_frames_between_doubled_frames_are_not_repeats() -> None:
    mean = np.tile([0.9, 0.05, 0.05], 10)
    assert (~find_repeated(np.where(mean > 0.5, 20.0, 3.0), mean, 6.0)).sum() == 9
