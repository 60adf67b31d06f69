"""Measurements of signals and drawn films with a known answer."""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.quality import measure_frame, measure_light, measure_motion, measure_sharpness
from stages.quality.measure_frame import Frames, MeasureFrame
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_motion import MeasureMotion
from stages.quality.measure_sharpness import MeasureSharpness
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]
Stored = Callable[..., Artifact]


def _motion(signals: Artifact, start: int, end: int, duration_s: float) -> Any:
    clip = measure_motion.Clip(signals=signals, start_frame=start, end_frame=end, duration_s=duration_s)
    [row] = MeasureMotion().annotate([clip])
    return row


def _frame(signals: Artifact, end: int, fps: float = 25.0, start: int = 0) -> Frames:
    clip = measure_frame.Clip(
        signals=signals, start_frame=start, end_frame=end, duration_s=(end - start) / fps
    )
    [row] = MeasureFrame().annotate([clip])
    return row


def test_a_clip_is_measured_on_its_own_frames_only(stored: Stored) -> None:
    mean = np.array([0.9] * 10 + [0.2] * 10 + [0.7] * 10)
    signals = stored(
        np.arange(30) / 25, light_mean=mean, light_spread=mean / 2, clipped_dark=1 - mean, clipped_bright=mean
    )
    clip = measure_light.Clip(signals=signals, start_frame=10, end_frame=20, duration_s=0.4)
    [row] = MeasureLight().annotate([clip])
    assert row.light_mean == pytest.approx(0.2)
    assert row.light_spread == pytest.approx(0.1)
    assert row.underexposed_share == pytest.approx(0.8)
    assert row.light_range == 0


def test_sharpness_is_the_median_over_the_stills(stored: Stored) -> None:
    values = np.full(40, math.nan)
    values[[0, 12, 24, 36]] = [0.9, 0.5, 0.3, 0.7]
    signals = stored(np.arange(40) / 24, sharpness=values)
    clips = [
        measure_sharpness.Clip(signals=signals, start_frame=a, end_frame=b) for a, b in ((1, 40), (13, 20))
    ]
    whole, reject = MeasureSharpness().annotate(clips)
    assert isinstance(whole, measure_sharpness.Sharpness)
    assert whole.sharpness == pytest.approx(0.5)
    assert isinstance(reject, Reject)
    assert "too short" in str(reject)


def test_frozen_stretches_differ_from_doubled_frames(stored: Stored) -> None:
    moves, frozen = np.full(100, 90.0), np.full(100, 90.0)
    doubled = np.where(np.arange(100) % 2, 0.0, 90.0)
    frozen[30:70] = 1.0
    frozen[50] = 40.0  # a key frame
    borders = dict.fromkeys(measure_frame.SIDES, np.zeros(100))
    rows = [
        _frame(stored(np.arange(100) / 25, change_max=c, change_mean=c / 9, **borders), 100)
        for c in (moves, doubled, frozen)
    ]
    assert [round(row.frozen_share, 2) for row in rows] == [0, 0, 0.41]
    assert rows[0].effective_fps == 25
    assert rows[1].effective_fps == pytest.approx(12.5)
    assert rows[1].repeated_share == pytest.approx(0.5, abs=0.01)


def test_borders_are_black_areas_at_opposite_sides(stored: Stored) -> None:
    top = np.full(50, 0.125)
    top[:4] = 1.0  # a dark moment
    sides = {
        "border_top": top,
        "border_bottom": top,
        "border_left": np.full(50, 0.2),
        "border_right": np.zeros(50),
    }
    row = _frame(
        stored(np.arange(50) / 25, change_max=np.full(50, 90.0), change_mean=np.full(50, 9.0), **sides), 50
    )
    assert row.border_share == pytest.approx(0.25)


def test_planted_defects_are_measured_and_good_shots_are_not(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    good = list(moving(11, 40, size=(180, 320), step=(3, 0)))
    boxed = [cv2.copyMakeBorder(p[24:-24], 24, 24, 0, 0, cv2.BORDER_CONSTANT) for p in good]
    shots = {
        "good": good,
        "dark": [(p * 0.06).astype(np.uint8) for p in good],
        "blurred": [cv2.GaussianBlur(p, (0, 0), 4) for p in good],
        "boxed": boxed,
        "frozen": [good[0]] * 40,
    }
    scanned = scan(film(itertools.chain(*shots.values()), fps=20))
    light, sharp, motion, frame = {}, {}, {}, {}
    for k, name in enumerate(shots):
        span = {"signals": scanned.signals, "start_frame": 40 * k, "end_frame": 40 * k + 40}
        [light[name]] = MeasureLight().annotate([measure_light.Clip(**span, duration_s=2.0)])
        [sharp[name]] = MeasureSharpness().annotate([measure_sharpness.Clip(**span)])
        motion[name] = _motion(scanned.signals, 40 * k, 40 * k + 40, 2.0)
        frame[name] = _frame(scanned.signals, 40 * k + 40, 20, 40 * k)
    assert {name for name, m in light.items() if m.light_mean < 0.1} == {"dark"}
    assert {name for name, m in sharp.items() if m.sharpness < 0.33} >= {"blurred"}
    assert sharp["good"].sharpness > 0.33
    assert {name for name, m in frame.items() if m.border_share > 0.1} - {"dark"} == {"boxed"}
    assert frame["boxed"].border_share == pytest.approx(48 / 180, abs=0.02)
    assert {name for name, m in frame.items() if m.frozen_share > 0.5} - {"dark"} == {"frozen"}
    assert {name for name, m in motion.items() if m.motion_mean < 0.01} == {"frozen"}
    assert motion["good"].camera == "pan right"
    assert motion["good"].camera_pan == pytest.approx(3 * 20 / 320, rel=0.1)
