"""Motion and camera labels, from signals with a known answer."""

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
    duration_s = (min(end, 3 * FPS) - start) / FPS
    clip = Clip(signals=signals, start_frame=start, end_frame=end, duration_s=duration_s)
    [row] = MeasureMotion().annotate([clip])
    return row


def _signals(right: np.ndarray, up: Any = 0.0, shifts: bool = True, **flow: Any) -> dict[str, Any]:
    """Signals of a view at these positions (longer sides), with a flow measurement each sixth frame."""
    count = len(right)
    up = np.broadcast_to(np.asarray(up, float), count)
    columns: dict[str, Any] = {name: np.full(count, math.nan) for name in ("motion", "motion_interval")}
    for name in ("pan", "tilt", "zoom", "roll", "object_motion"):
        columns[name] = np.full(count, math.nan)
    shown = np.hypot(np.diff(right, prepend=math.nan), np.diff(up, prepend=math.nan))
    columns["change_max"], columns["change_mean"] = 3e4 * shown, 3e3 * shown
    measured = np.arange(3, count, 6)
    columns["motion_interval"][measured] = GAP_S
    columns["pan"][measured] = (right[measured] - right[measured - 3]) / GAP_S
    columns["tilt"][measured] = (up[measured] - up[measured - 3]) / GAP_S
    for name in ("zoom", "roll", "object_motion"):
        columns[name][measured] = flow.get(name, 0.0)
    columns["motion"][measured] = np.hypot(columns["pan"][measured], columns["tilt"][measured])
    for name, positions in (("shift_right", right), ("shift_up", up)):
        columns[name] = np.diff(positions, prepend=math.nan) if shifts else np.full(count, math.nan)
    return columns


TIMES = np.arange(3 * FPS) / FPS


def _tone(hertz: float, size: float) -> np.ndarray:
    return size * np.sqrt(2) * np.sin(2 * np.pi * hertz * TIMES + 0.4)


JUMP = 0.3 * np.clip((TIMES - 1.4) / 0.2, 0, 1)


@pytest.mark.parametrize(
    ("right", "up", "flow", "label"),
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
        (JUMP, 0.0, {}, "abrupt"),
        (JUMP + _tone(0.5, 0.003), 0.0, {}, "abrupt"),
        (0.5 * TIMES, 0.0, {}, "pan right"),
    ],
)
def test_the_camera_has_a_label(
    stored: Stored, right: np.ndarray, up: Any, flow: dict[str, Any], label: str
) -> None:
    row = _motion(stored(TIMES, **_signals(right, up, **flow)))
    assert isinstance(row, Motion)
    assert row.camera == label


def test_shake_is_the_distance_to_the_path_and_jump_the_distance_of_a_sudden_move(stored: Stored) -> None:
    shaken = _motion(stored(TIMES, **_signals(_tone(5.3, 0.006) + 0.1 * TIMES, _tone(3.7, 0.006))))
    assert shaken.camera_shake == pytest.approx(0.72 * 0.006 * math.sqrt(2), rel=0.1)  # smoothed by 0.08 s
    jumped = _motion(stored(TIMES, **_signals(JUMP)))
    assert jumped.camera_jump == pytest.approx(0.3, rel=0.05)
    assert jumped.camera_shake < 0.03


def test_shifts_without_flow_are_no_camera_motion(stored: Stored) -> None:
    columns = _signals(0 * TIMES)
    columns["shift_right"] = np.diff(_tone(5.3, 0.02), prepend=math.nan)
    row = _motion(stored(TIMES, **columns))
    assert (row.camera, row.camera_shake) == ("static", 0)


def test_doubled_frames_do_not_shake(stored: Stored) -> None:
    doubled = 0.2 * np.repeat(TIMES[::2], 2)
    row = _motion(stored(TIMES, **_signals(doubled)))
    assert row.camera == "pan right"
    assert row.camera_shake < 0.001


def test_flow_across_a_cut_does_not_count(stored: Stored) -> None:
    columns = _signals(0.1 * TIMES)
    columns["motion"][27] = 9.0  # measured against frame 24
    signals = stored(TIMES, **columns)
    assert _motion(signals, 25).motion_mean == pytest.approx(0.1)
    assert _motion(signals, 24).motion_mean > 0.5
    assert _motion(signals, 0, 27).motion_mean == pytest.approx(0.1)
    assert isinstance(_motion(signals, 25, 28), Reject)


def test_still_share_is_the_share_of_still_measurements(stored: Stored) -> None:
    columns = _signals(0.05 * np.minimum(TIMES, 1.0))
    row = _motion(stored(TIMES, **columns))
    assert row.still_share == pytest.approx(2 / 3, abs=0.05)


def test_missing_shifts_leave_the_other_columns(stored: Stored) -> None:
    row = _motion(stored(TIMES, **_signals(0.1 * TIMES, shifts=False)))
    assert (row.camera, row.camera_shake, row.camera_jump) == ("pan right", 0, 0)
