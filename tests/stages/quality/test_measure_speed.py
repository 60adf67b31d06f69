"""Haste: even movement has little, shown too fast it has much; how far things move is another matter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline import Reject
from stages.quality.measure_speed import Clip, MeasureSpeed
from stages.scan.scan_video import Scanned


@pytest.fixture
def speed_score(film: Callable[..., Path], scan: Callable[..., Scanned]) -> Callable[..., Any]:
    def run(pictures: list[np.ndarray], fps: int = 30) -> Any:
        scanned = scan(film(pictures, fps=fps), meters=("repeats",))
        clip = Clip(
            signals=scanned.signals, start_frame=0, end_frame=len(pictures), duration_s=len(pictures) / fps
        )
        [said] = MeasureSpeed().annotate([clip])
        return said

    return run


def _swing(count: int, fps: float, hertz: float, reach_px: float) -> list[np.ndarray]:
    """Balls that swing at some hertz before a plain wall."""
    rng, out = np.random.default_rng(3), []
    places, phases = rng.uniform(0.2, 0.8, (9, 2)) * (320, 180), rng.random(9)
    for k in range(count):
        picture = np.full((180, 320, 3), 90, np.uint8)
        for (x, y), phase in zip(places, phases, strict=True):
            right = reach_px * np.sin(2 * np.pi * (hertz * k / fps + phase))
            cv2.circle(
                picture,
                (round((x + right) * 16), round(y * 16)),
                16 * 16,
                (210, 190, 180),
                -1,
                cv2.LINE_AA,
                4,
            )
        out.append(picture)
    return out


def test_faster_is_hastier_at_any_rate(speed_score: Callable[..., Any]) -> None:
    for fps in (30, 60):
        said = [speed_score(_swing(3 * fps, fps, hertz, 24), fps).speed_score for hertz in (0.5, 2, 5)]
        assert said[0] < said[1] < said[2]
        assert said[0] < 1.0
        assert said[2] > 1.5


def test_how_far_things_move_counts_less_than_how_often_they_turn(speed_score: Callable[..., Any]) -> None:
    small, large = (speed_score(_swing(90, 30, 0.7, reach)).speed_score for reach in (8, 32))
    hasty = speed_score(_swing(90, 30, 5, 16)).speed_score
    assert max(small, large) < 0.7 * hasty


def test_doubled_frames_are_passed_over(speed_score: Callable[..., Any]) -> None:
    once = _swing(45, 15, 0.7, 24)
    twice = [picture for picture in once for _ in range(2)]
    assert speed_score(twice).speed_score == pytest.approx(speed_score(once, 15).speed_score, abs=0.2)


def test_rest_is_not_hasty_and_five_frames_are_too_few(speed_score: Callable[..., Any]) -> None:
    still = _swing(1, 30, 1, 24) * 40
    assert speed_score(still).speed_score < 0.2
    none = speed_score(still[:5])
    assert isinstance(none, Reject)
    assert "too short" in str(none)


def test_a_flash_makes_no_haste(speed_score: Callable[..., Any]) -> None:
    even = _swing(75, 30, 0.5, 24)
    lit = [np.full_like(picture, 250) if k in (30, 31) else picture for k, picture in enumerate(even)]
    assert speed_score(lit).speed_score < speed_score(even).speed_score + 0.3 < 1.5
