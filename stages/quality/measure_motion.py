"""Measures how much moves in a clip, and what the camera does."""

import math
from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeFloat, Row, Share, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals
from stages.quality.measures.camera_path import MAX_HOLD_S, CameraPath, find_positions, measure_path
from stages.quality.measures.repeated_frames import find_repeated

CAMERA_MOTIONS = ("pan", "tilt", "zoom", "roll")
FLOW = ("motion", "object_motion", *CAMERA_MOTIONS)
SIGNALS = ("time_s", "motion_interval", "shift_right", "shift_up", "change_max", "change_mean", *FLOW)
LABELS = {  # for a negative and a positive speed
    "pan": ("pan left", "pan right"),
    "tilt": ("tilt down", "tilt up"),
    "zoom": ("zoom out", "zoom in"),
    "roll": ("roll right", "roll left"),
}
CAMERA_LABELS = (
    "static",
    "handheld",
    "shake",
    "abrupt",
    *(name for pair in LABELS.values() for name in pair),
)
MAX_REPEAT_CHANGE = 6.0  # luma levels of 0 to 255, as in MeasureFrame
MOVE_S = 1 / 8  # after a rest, the time in which an image changes to the next one
# Frame shifts also see objects in front of the camera; flow measurements do not. So a jump must show in both.
# This is the speed in the flow over the length of the jump, in 1/s. A jump of a fifth of a second never gives
# less: a flow measurement over an eighth of a second sees at least 8 % of it.
JUMP_SPEED = 0.64

Array = npt.NDArray[np.float64]


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Motion(Row):
    motion_mean: float = column(
        "mean length of the optical flow, in longer sides of the image per s", unit="1/s"
    )
    motion_p95: float = column(
        "95th percentile over time of a frame's mean flow, in longer sides per s", unit="1/s"
    )
    still_share: float = column("share of the time with a mean flow below `max_still_flow`", unit="0..1")
    object_motion: float = column(
        "mean length of the flow that camera motion does not explain, in longer sides per s", unit="1/s"
    )
    camera: str = column(
        "camera motion: static, handheld, shake, abrupt, pan left or right, tilt up or down, zoom in or out, "
        "roll left or right"
    )
    camera_pan: float = column("median camera speed to the right, in longer sides per s", unit="1/s")
    camera_tilt: float = column("median camera speed upwards, in longer sides per s", unit="1/s")
    camera_zoom: float = column("median growth rate of the image", unit="1/s")
    camera_roll: float = column("median clockwise rotation speed of the image", unit="deg/s")
    camera_shake: float = column(
        "root mean square distance of the view to its smoothed path, in longer sides", unit="1"
    )
    camera_jitter: float = column(
        "share of the speed of the view that is jitter above 2.3 Hz: below 0.2 for a steady camera, 0.8 for "
        "strong shake",
        unit="0..1",
    )
    camera_drift: float = column(
        "root mean square difference of the camera's speed to its median, in longer sides per s, without the "
        "fastest fifth",
        unit="1/s",
    )
    camera_jump: float = column(
        "longest distance of the view in a quarter of a second, in longer sides", unit="1"
    )


class MeasureMotion(Annotate[Clip, Motion]):
    """Measures how much the image and the objects move, and names the motion of the camera.

    The values come from the flow measurements that lie completely in the clip, and from its frame shifts.

    The camera label is the first of these that fits:

        shake       jitter above 2.3 Hz that makes up `min_shake_jitter` of the camera's speed: a hand drifts
                    more than it jitters
        abrupt      one sudden fast move: `min_abrupt_jump` in a quarter of a second, and `min_abrupt_ratio`
                    times as long as usual in the clip
        pan left …  the strongest of pan, tilt, zoom and roll, from `min_camera_speed`, at least half as fast
                    as the drift. Zoom and roll count as the speed they give to the ends of the longer side.
                    In "roll left" the camera turns counterclockwise, so the image turns clockwise
        handheld    irregular drift from `min_handheld_drift`, or half the jitter of shake
        static      everything else

    Lengths are in longer sides of the image: 1 is the width of a landscape image. A clip without a flow
    measurement is rejected.

    Attributes:
        max_still_flow: Mean flow, in longer sides per s, below which a moment counts as still. Higher values
            count more moments as still.
        min_camera_speed: Camera speed, in longer sides per s, from which pan, tilt, zoom or roll is named.
            Higher values call more cameras static.
        min_shake_jitter: Share of the camera's speed, 0 to 1, from which jitter is shake. Higher values find
            less shake.
        min_handheld_drift: Drift, in longer sides per s, from which the camera is handheld. Higher values
            call fewer cameras handheld.
        min_abrupt_jump: Distance in a quarter of a second, in longer sides, from which a move is abrupt.
            Higher values find fewer abrupt moves.
        min_abrupt_ratio: That distance over the clip's median distance from which a move is abrupt. Higher
            values find fewer abrupt moves.
    """

    version = 4

    max_still_flow: NonNegativeFloat = 0.01
    min_camera_speed: NonNegativeFloat = 0.02
    min_shake_jitter: Share = 0.36
    min_handheld_drift: NonNegativeFloat = 0.008
    min_abrupt_jump: NonNegativeFloat = 0.12
    min_abrupt_ratio: NonNegativeFloat = 4.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Motion | Reject]:
        for row in rows:
            signals = read_signals(row.signals, SIGNALS, row.start_frame, row.end_frame)
            times_s = signals["time_s"]
            # Frames whose flow was measured, against a frame of the clip; comparisons with NaN are False.
            measured = np.flatnonzero(times_s - signals["motion_interval"] >= times_s[:1] - 1e-4)
            repeats = find_repeated(signals["change_max"], signals["change_mean"], MAX_REPEAT_CHANGE)
            if not measured.size and not (len(repeats) > 1 and repeats.all()):
                yield Reject(f"too short to measure motion: {row.end_frame - row.start_frame} frames")
                continue
            moments = {name: signals[name][measured].astype(float) for name in (*FLOW, "motion_interval")}
            moments["time_s"] = times_s[measured]
            if not measured.size:  # one image: it rests
                moments = {name: np.zeros(1) for name in moments} | {"motion_interval": np.full(1, MOVE_S)}
            path = find_positions(times_s, signals["shift_right"], signals["shift_up"], repeats)
            ends_s = np.append(times_s, times_s[0] + row.duration_s)
            yield self._motion(moments, ends_s, path)

    def _motion(self, moments: dict[str, Array], ends_s: Array, path: tuple[Array, Array]) -> Motion:
        flow, weights = weigh(moments, ends_s)
        median = {name: _percentile(flow[name], weights, 50) for name in CAMERA_MOTIONS}
        deviation = {name: (flow[name] - median[name]) * _side_speed(name) for name in CAMERA_MOTIONS}
        squares = reduce(np.add, (np.square(deviation[name]) for name in CAMERA_MOTIONS))
        drift = _trimmed_rms(squares, weights)
        swing = np.hypot(deviation["pan"], deviation["tilt"])
        camera = measure_path(*path).limit(
            share=_camera_share(moments, *path),
            max_jump=float(swing.max()) / JUMP_SPEED,
        )
        return Motion(
            motion_mean=float(np.average(flow["motion"], weights=weights)),
            motion_p95=_percentile(flow["motion"], weights, 95),
            still_share=float(np.average(flow["motion"] < self.max_still_flow, weights=weights)),
            object_motion=float(np.average(flow["object_motion"], weights=weights)),
            camera=self._label(median, drift, camera),
            camera_pan=median["pan"],
            camera_tilt=median["tilt"],
            camera_zoom=median["zoom"],
            camera_roll=median["roll"],
            camera_shake=camera.shake,
            camera_jitter=camera.jitter,
            camera_drift=drift,
            camera_jump=camera.jump,
        )

    def _label(self, median: dict[str, float], drift: float, path: CameraPath) -> str:
        speeds = {name: median[name] * _side_speed(name) for name in CAMERA_MOTIONS}
        strongest = max(speeds, key=lambda name: abs(speeds[name]))
        speed = abs(speeds[strongest])
        if path.jitter >= self.min_shake_jitter:
            return "shake"
        if path.jump >= self.min_abrupt_jump and path.jump >= self.min_abrupt_ratio * path.usual_jump:
            return "abrupt"
        if speed >= self.min_camera_speed and speed >= drift / 2:
            return LABELS[strongest][speeds[strongest] > 0]
        if drift >= self.min_handheld_drift or path.jitter >= self.min_shake_jitter / 2:
            return "handheld"
        return "static"


def weigh(moments: dict[str, Array], ends_s: Array) -> tuple[dict[str, Array], Array]:
    """Return the flow of a clip over time: measured moments and rests, and how long each lasts in s.

    A moment stands for the time since the moment before. Where the file has no frame for more than
    `MAX_HOLD_S`, the image rests, and only the last eighth of a second belongs to the moment after it.

    Args:
        moments: The columns `FLOW` and `time_s` of the measured frames.
        ends_s: Times of all frames, and end of the clip, in s.
    """
    edges_s = np.concatenate([ends_s[:1], moments["time_s"]])
    edges_s[-1] = ends_s[-1]
    gaps_s = np.diff(ends_s)
    rests_s = np.where(gaps_s > MAX_HOLD_S, gaps_s - MOVE_S, 0.0)
    rested_s = np.concatenate([[0.0], np.cumsum(rests_s)])
    moving_s = ends_s - rested_s  # a clock that stops while the image rests
    weights = np.diff(np.interp(edges_s, ends_s, moving_s))
    flow = {name: np.append(moments[name], 0.0) for name in FLOW}
    return flow, np.append(weights, rests_s.sum())


def _camera_share(moments: dict[str, Array], times_s: Array, positions: Array) -> float:
    """Return the share, 0 to 1, of the path's changes of speed that the flow confirms.

    The path also follows objects in front of the camera. The flow is measured at places all over the image,
    so only the camera moves both alike.
    """
    begins_s, interval_s = moments["time_s"] - moments["motion_interval"], moments["motion_interval"]
    speeds = np.empty((2, 2, len(begins_s)))  # of path and flow; to the right and up
    for axis, name in enumerate(("pan", "tilt")):
        moved = np.interp(moments["time_s"], times_s, positions[:, axis])
        moved -= np.interp(begins_s, times_s, positions[:, axis])
        speeds[:, axis] = moved / interval_s, moments[name]
    path, flow = speeds - np.median(speeds, axis=2, keepdims=True)
    squares = (path**2).sum(axis=0)
    confirmed = np.clip((path * flow).sum(axis=0), 0, squares)
    return float(confirmed.sum() / squares.sum()) if squares.any() else 1.0


def _percentile(values: Array, weights: Array, percent: float) -> float:
    """Return a percentile of weighted values; equal weights give that of numpy."""
    order = np.argsort(values, kind="stable")
    order = order[weights[order] > 0]
    upto = np.cumsum(weights[order])
    middles = upto - weights[order] / 2
    low, high = middles[0], middles[-1]
    return float(np.interp(low + (high - low) * percent / 100, middles, values[order]))


def _trimmed_rms(squares: Array, weights: Array) -> float:
    """Return the root mean square of the lower four fifths: an object may fill the image for a moment."""
    order = np.argsort(squares, kind="stable")
    upto = np.cumsum(weights[order])
    kept = np.clip(0.8 * upto[-1] - (upto - weights[order]), 0, weights[order])
    return float(np.sqrt(np.average(squares[order], weights=kept)))


def _side_speed(name: str) -> float:
    """Return the speed at the ends of the longer side, in longer sides per s, of a camera motion of 1."""
    return {"zoom": 0.5, "roll": math.radians(0.5)}.get(name, 1.0)
