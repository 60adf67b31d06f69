"""Information: a blank frame holds none, a frozen frame adds none; more detail and change give more."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import Reject
from stages.quality.measure_information import Clip, MeasureInformation
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture
def measure(film: Callable[..., Path], scan: Callable[..., ScannedVideo]) -> Callable[..., Any]:
    def run(frames: list[np.ndarray], fps: int = 24) -> Any:
        scanned = scan(film(frames, fps=fps), meters=())
        [row] = MeasureInformation().annotate(
            [Clip(signals=scanned.signals, start_frame=0, end_frame=len(frames))]
        )
        return row

    return run


def test_information_needs_detail_and_change(measure: Callable[..., Any], moving: Draw) -> None:
    size = (180, 320)
    slow, fast = (measure(list(moving(4, 48, size=size, step=(step, 0)))) for step in (0.3, 3.0))
    frozen = measure(list(moving(4, 1, size=size)) * 48)
    blank = measure([np.full((180, 320, 3), 40 + k, np.uint8) for k in range(48)])
    assert 0.05 < slow.information < fast.information
    assert frozen.information == frozen.change_information < 0.05
    assert frozen.frame_information == pytest.approx(fast.frame_information, rel=0.1)
    assert blank.information == blank.frame_information < 0.02
    assert blank.change_information > 1


def test_frame_rate_and_size_hardly_matter(measure: Callable[..., Any], moving: Draw) -> None:
    one = measure(list(moving(4, 36, size=(180, 320), step=(4, 0))), 12)
    other = measure(list(moving(4, 144, size=(360, 640), step=(2, 0))), 48)
    assert other.information == pytest.approx(one.information, rel=0.15)


def test_half_a_second_is_rejected(measure: Callable[..., Any], moving: Draw) -> None:
    reject = measure(list(moving(4, 12)))
    assert isinstance(reject, Reject)
    assert "0.5 s" in str(reject)
