"""Slideshows: still images with transitions between them, not a frozen stretch or a key frame's refresh."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from manifests import Artifact
from stages.quality.measure_frame import SIDES, Clip, MeasureFrame


@pytest.fixture
def slides(stored: Callable[..., Artifact]) -> Callable[..., float]:
    """Return the slideshow share of a clip at 25 fps from the change of each frame to the frame before."""

    def run(change: np.ndarray) -> float:
        borders = dict.fromkeys(SIDES, np.zeros(len(change)))
        times = np.arange(len(change)) / 25
        signals = stored(times, change_max=change * 10, change_mean=change, **borders)
        clip = Clip(signals=signals, start_frame=0, end_frame=len(change), duration_s=len(change) / 25)
        [row] = MeasureFrame().annotate([clip])
        return row.slideshow_share

    return run


def test_cuts_and_dissolves_between_still_images_are_slideshows(slides: Callable[..., float]) -> None:
    change = np.zeros(151)
    change[50] = 40.0
    change[100:115] = 3.0
    assert slides(change) == pytest.approx(1)
    change[115:] = 5.0  # motion from here on
    assert slides(change) == pytest.approx(100 / 150, abs=0.02)


def test_frozen_refreshed_moving_and_stuttering_clips_are_no_slideshows(slides: Callable[..., float]) -> None:
    frozen, refreshed, moving = np.zeros(151), np.zeros(151), np.full(151, 4.0)
    frozen[:50] = frozen[100:] = 4.0
    refreshed[50] = 1.0
    stutters = np.where(np.arange(151) % 10 < 8, 0.0, 9.0)
    assert [slides(change) for change in (frozen, refreshed, moving, stutters)] == [0, 0, 0, 0]


def test_longer_slides_give_a_larger_share(slides: Callable[..., float]) -> None:
    shares = []
    for rest in (10, 25, 40, 49):
        change = np.full(151, 4.0)
        for start in (0, 50, 100):
            change[start + 1 : start + 1 + rest] = 0.0
        shares.append(slides(change))
    assert shares[0] == 0
    assert all(one <= other for one, other in pairwise(shares))
    assert shares[-1] > 0.9
