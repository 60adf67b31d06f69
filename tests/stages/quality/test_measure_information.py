"""Information: a blank picture holds none, a frozen one adds none; more detail and more change give more."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import Reject
from stages.quality.measure_information import Clip, MeasureInformation
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture
def informed(film: Callable[..., Path], scan: Callable[..., Scanned]) -> Callable[..., Any]:
    def run(pictures: list[np.ndarray], fps: int = 24) -> Any:
        scanned = scan(film(pictures, fps=fps), meters=())
        [said] = MeasureInformation().annotate(
            [Clip(signals=scanned.signals, start_frame=0, end_frame=len(pictures))]
        )
        return said

    return run


def test_it_takes_both_to_inform(informed: Callable[..., Any], moving: Draw) -> None:
    size = (180, 320)
    slow, fast = (informed(list(moving(4, 48, size=size, step=(step, 0)))) for step in (0.3, 3.0))
    frozen = informed(list(moving(4, 1, size=size)) * 48)
    blank = informed([np.full((180, 320, 3), 40 + k, np.uint8) for k in range(48)])
    assert 0.05 < slow.information < fast.information
    assert frozen.information == frozen.change_information < 0.05
    assert frozen.picture_information == pytest.approx(fast.picture_information, rel=0.1)
    assert blank.information == blank.picture_information < 0.02
    assert blank.change_information > 1


def test_it_is_the_same_at_another_rate_and_size(informed: Callable[..., Any], moving: Draw) -> None:
    one = informed(list(moving(4, 36, size=(180, 320), step=(4, 0))), 12)
    other = informed(list(moving(4, 144, size=(360, 640), step=(2, 0))), 48)
    assert other.information == pytest.approx(one.information, rel=0.15)


def test_half_a_second_is_too_short(informed: Callable[..., Any], moving: Draw) -> None:
    none = informed(list(moving(4, 12)))
    assert isinstance(none, Reject)
    assert "0.5 s" in str(none)
