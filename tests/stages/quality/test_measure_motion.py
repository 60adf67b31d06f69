"""What is said of a clip's motion, from signals whose answer is known."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.quality.measure_motion import Clip, MeasureMotion, Motion

Stored = Callable[..., Artifact]
FPS, GAP_S = 24, 1 / 8


def _motion(signals: Artifact, start: int = 0, end: int = 10**6) -> Any:
    [said] = MeasureMotion().annotate([Clip(signals=signals, start_frame=start, end_frame=end)])
    return said


def _filmed(right: np.ndarray, up: Any = 0.0, slides: bool = True, **looks: Any) -> dict[str, Any]:
    """The signals of a view that is at those places (longer sides) at its frames; a look each sixth frame."""
    count = len(right)
    up = np.broadcast_to(np.asarray(up, float), count)
    columns: dict[str, Any] = {name: np.full(count, math.nan) for name in ("motion", "motion_gap")}
    for name in ("pan", "tilt", "zoom", "roll", "object_motion"):
        columns[name] = np.full(count, math.nan)
    seen = np.arange(3, count, 6)
    columns["motion_gap"][seen] = GAP_S
    columns["pan"][seen] = (right[seen] - right[seen - 3]) / GAP_S
    columns["tilt"][seen] = (up[seen] - up[seen - 3]) / GAP_S
    for name in ("zoom", "roll", "object_motion"):
        columns[name][seen] = looks.get(name, 0.0)
    columns["motion"][seen] = np.hypot(columns["pan"][seen], columns["tilt"][seen])
    for name, way in (("slide_right", right), ("slide_up", up)):
        columns[name] = np.diff(way, prepend=math.nan) if slides else np.full(count, math.nan)
    return columns


TIMES = np.arange(3 * FPS) / FPS


def _tone(hertz: float, size: float) -> np.ndarray:
    return size * np.sqrt(2) * np.sin(2 * np.pi * hertz * TIMES + 0.4)


LEAP = 0.3 * np.clip((TIMES - 1.4) / 0.2, 0, 1)


@pytest.mark.parametrize(
    ("right", "up", "looks", "label"),
    [
        (0.1 * TIMES, -0.04 * TIMES, {}, "pan right"),
        (-0.1 * TIMES, 0.0, {}, "pan left"),
        (0 * TIMES, 0.1 * TIMES, {}, "tilt up"),
        (0 * TIMES, -0.1 * TIMES, {"roll": 3.0}, "tilt down"),
        (0.03 * TIMES, 0.0, {"zoom": 0.1}, "zoom in"),
        (0 * TIMES, 0.0, {"zoom": -0.1}, "zoom out"),
        (0 * TIMES, 0.0, {"roll": 8.0}, "roll left"),
        (0 * TIMES, 0.0, {"roll": -8.0}, "roll right"),
        (0.005 * TIMES, 0.005 * TIMES, {"zoom": 0.02}, "static"),
        (_tone(5.3, 0.006), _tone(3.7, 0.006), {}, "shake"),
        (_tone(5.3, 0.006) + 0.4 * TIMES, 0.0, {}, "pan right"),
        (_tone(0.5, 0.008), _tone(0.37, 0.008), {}, "handheld"),
        (LEAP, 0.0, {}, "abrupt"),
        (LEAP + _tone(0.5, 0.003), 0.0, {}, "abrupt"),
        (0.5 * TIMES, 0.0, {}, "pan right"),
    ],
)
def test_the_camera_has_a_label(
    stored: Stored, right: np.ndarray, up: Any, looks: dict[str, Any], label: str
) -> None:
    said = _motion(stored(TIMES, **_filmed(right, up, **looks)))
    assert isinstance(said, Motion)
    assert said.camera == label


def test_shake_is_how_far_off_the_path_and_a_jump_how_far_at_once(stored: Stored) -> None:
    shaken = _motion(stored(TIMES, **_filmed(_tone(5.3, 0.006) + 0.1 * TIMES, _tone(3.7, 0.006))))
    assert shaken.camera_shake == pytest.approx(0.006 * math.sqrt(2), rel=0.2)
    leapt = _motion(stored(TIMES, **_filmed(LEAP)))
    assert leapt.camera_jump == pytest.approx(0.3, rel=0.05)
    assert leapt.camera_shake < 0.03


def test_slides_that_the_looks_do_not_see_are_no_camera(stored: Stored) -> None:
    columns = _filmed(0 * TIMES)
    columns["slide_right"] = np.diff(_tone(5.3, 0.02), prepend=math.nan)
    said = _motion(stored(TIMES, **columns))
    assert (said.camera, said.camera_shake) == ("static", 0)


def test_doubled_frames_are_no_shake(stored: Stored) -> None:
    twice = 0.2 * np.repeat(TIMES[::2], 2)
    said = _motion(stored(TIMES, **_filmed(twice)))
    assert said.camera == "pan right"
    assert said.camera_shake < 0.001


def test_the_look_across_a_cut_does_not_count(stored: Stored) -> None:
    columns = _filmed(0.1 * TIMES)
    columns["motion"][27] = 9.0  # its other frame is 24
    signals = stored(TIMES, **columns)
    assert _motion(signals, 25).motion_mean == pytest.approx(0.1)
    assert _motion(signals, 24).motion_mean > 0.5
    assert _motion(signals, 0, 27).motion_mean == pytest.approx(0.1)
    assert isinstance(_motion(signals, 25, 28), Reject)


def test_still_time_is_shared_out(stored: Stored) -> None:
    columns = _filmed(0.05 * np.minimum(TIMES, 1.0))
    said = _motion(stored(TIMES, **columns))
    assert said.still_share == pytest.approx(8 / 12)


def test_frames_without_a_slide_leave_the_rest(stored: Stored) -> None:
    said = _motion(stored(TIMES, **_filmed(0.1 * TIMES, slides=False)))
    assert (said.camera, said.camera_shake, said.camera_jump) == ("pan right", 0, 0)
