"""Speed score: steady motion has a low one, fast playback a high one; the distance hardly matters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline import Reject
from stages.quality.measure_speed import Clip, MeasureSpeed
from stages.scan.scan_video import ScannedVideo


@pytest.fixture
def speed_score(film: Callable[..., Path], scan: Callable[..., ScannedVideo]) -> Callable[..., Any]:
    def run(images: list[np.ndarray], fps: int = 30) -> Any:
        scanned = scan(film(images, fps=fps), meters=("repeats",))
        clip = Clip(
            signals=scanned.signals, start_frame=0, end_frame=len(images), duration_s=len(images) / fps
        )
        [row] = MeasureSpeed().annotate([clip])
        return row

    return run


def _swing(count: int, fps: float, hertz: float, reach_px: float) -> list[np.ndarray]:
    """Draw balls that swing with a frequency in front of a plain wall."""
    rng, out = np.random.default_rng(3), []
    places, phases = rng.uniform(0.2, 0.8, (9, 2)) * (320, 180), rng.random(9)
    for k in range(count):
        image = np.full((180, 320, 3), 90, np.uint8)
        for (x, y), phase in zip(places, phases, strict=True):
            right = reach_px * np.sin(2 * np.pi * (hertz * k / fps + phase))
            cv2.circle(
                image,
                (round((x + right) * 16), round(y * 16)),
                16 * 16,
                (210, 190, 180),
                -1,
                cv2.LINE_AA,
                4,
            )
        out.append(image)
    return out


def test_faster_motion_scores_higher_at_any_frame_rate(speed_score: Callable[..., Any]) -> None:
    for fps in (30, 60):
        scores = [speed_score(_swing(3 * fps, fps, hertz, 24), fps).speed_score for hertz in (0.5, 2, 5)]
        assert scores[0] < scores[1] < scores[2]
        assert scores[0] < 1.0
        assert scores[2] > 1.5


def test_distance_counts_less_than_frequency(speed_score: Callable[..., Any]) -> None:
    small, large = (speed_score(_swing(90, 30, 0.7, reach)).speed_score for reach in (8, 32))
    fast = speed_score(_swing(90, 30, 5, 16)).speed_score
    assert max(small, large) < 0.7 * fast


def test_doubled_frames_are_skipped(speed_score: Callable[..., Any]) -> None:
    once = _swing(45, 15, 0.7, 24)
    twice = [image for image in once for _ in range(2)]
    assert speed_score(twice).speed_score == pytest.approx(speed_score(once, 15).speed_score, abs=0.2)


def test_a_still_clip_scores_low_and_five_frames_are_rejected(speed_score: Callable[..., Any]) -> None:
    still = _swing(1, 30, 1, 24) * 40
    assert speed_score(still).speed_score < 0.2
    reject = speed_score(still[:5])
    assert isinstance(reject, Reject)
    assert "too short" in str(reject)


def test_a_flash_hardly_changes_the_score(speed_score: Callable[..., Any]) -> None:
    even = _swing(75, 30, 0.5, 24)
    lit = [np.full_like(image, 250) if k in (30, 31) else image for k, image in enumerate(even)]
    assert speed_score(lit).speed_score < speed_score(even).speed_score + 0.3 < 1.5
