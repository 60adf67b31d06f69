"""Repeated frames: those without change, and doubled ones that a codec changed a little."""

import numpy as np

from stages.quality.repeats import repeated


def test_doubled_frames_are_told_though_coded_anew() -> None:
    mean = np.array([255, 0.2, 3, 0.3, 2, 0.1, 3, 0.2, 0.2, 3])
    largest = np.where(mean > 1, 90.0, 11.0)
    assert np.flatnonzero(repeated(largest, mean, 6.0)).tolist() == [2, 4]
    assert np.flatnonzero(repeated(np.minimum(largest, 5), mean, 6.0)).tolist() == list(range(9))


def test_a_slow_moment_is_no_repeat() -> None:
    mean = np.array([255, 3, 2, 1, 0.7, 0.5, 0.7, 1, 2, 3])
    assert not repeated(np.full(10, 40.0), mean, 6.0).any()
    assert repeated(np.array([255.0]), np.array([255.0]), 6.0).size == 0
