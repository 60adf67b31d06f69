"""Measures how much moves in a clip, and what the camera does."""

import math
from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeFloat, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals
from stages.quality.measures.camera_path import CameraPath, measure_path

CAMERA_MOTIONS = ("pan", "tilt", "zoom", "roll")
SIGNALS = ("time_s", "motion", "object_motion", "motion_interval", "shift_right", "shift_up", *CAMERA_MOTIONS)
LABELS = {  # for a negative and a positive speed
    "pan": ("pan left", "pan right"),
    "tilt": ("tilt down", "tilt up"),
    "zoom": ("zoom out", "zoom in"),
    "roll": ("roll right", "roll left"),
}
# Frame shifts also see objects in front of the camera; flow measurements do not. So shake and jumps must
# show in both. These are speed in the flow measurements over length of the path, in 1/s. Shake of 3 … 8 Hz
# gives 10 to 17. A jump of a fifth of a second never gives less than 0.64: a flow measurement over an
# eighth of a second sees at least 8 % of it.
SHAKE_SPEED, JUMP_SPEED = 6.0, 0.64

Array = npt.NDArray[np.float64]


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


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

        abrupt      one sudden fast move: `min_abrupt_jump` in a quarter of a second, and `min_abrupt_ratio`
                    times as long as usual in the clip
        shake       jitter above 1.5 Hz of `min_shake`, at least half as fast as the camera's steady motion,
                    and `min_shake_ratio` times as fast as its drift: a hand drifts more than it jitters
        pan left …  the strongest of pan, tilt, zoom and roll, from `min_camera_speed`, at least half as fast
                    as the drift. Zoom and roll count as the speed they give to the ends of the longer side.
                    In "roll left" the camera turns counterclockwise, so the image turns clockwise
        handheld    irregular drift from `min_handheld_drift`, or half the jitter of shake
        static      everything else

    Lengths are in longer sides of the image: 1 is the width of a landscape image. A clip without a flow
    measurement is rejected.

    Attributes:
        max_still_flow: Mean flow, in longer sides per s, below which a moment counts as still.
        min_camera_speed: Camera speed, in longer sides per s, from which pan, tilt, zoom or roll is named.
        min_shake: Distance to the smoothed path, in longer sides, from which the camera shakes.
        min_shake_ratio: Speed of the jitter over speed of the drift from which the camera shakes.
        min_handheld_drift: Drift, in longer sides per s, from which the camera is handheld.
        min_abrupt_jump: Distance in a quarter of a second, in longer sides, from which a move is abrupt.
        min_abrupt_ratio: That distance over the clip's median distance from which a move is abrupt.
    """

    version = 3

    max_still_flow: NonNegativeFloat = 0.01
    min_camera_speed: NonNegativeFloat = 0.02
    min_shake: float = 0.0025
    min_shake_ratio: float = 0.8
    min_handheld_drift: NonNegativeFloat = 0.008
    min_abrupt_jump: NonNegativeFloat = 0.12
    min_abrupt_ratio: NonNegativeFloat = 4.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Motion | Reject]:
        for row in rows:
            signals = read_signals(row.signals, SIGNALS, row.start_frame, row.end_frame)
            times_s = signals["time_s"]
            # Frames whose flow was measured, against a frame of the clip; comparisons with NaN are False.
            measured = np.flatnonzero(times_s - signals["motion_interval"] >= times_s[:1] - 1e-4)
            if not measured.size:
                yield Reject(f"too short to measure motion: {row.end_frame - row.start_frame} frames")
                continue
            names = ("motion", "object_motion", *CAMERA_MOTIONS)
            flow = {name: signals[name][measured].astype(float) for name in names}
            yield self._motion(flow, measure_path(times_s, signals["shift_right"], signals["shift_up"]))

    def _motion(self, flow: dict[str, Array], path: CameraPath) -> Motion:
        median = {name: float(np.median(flow[name])) for name in CAMERA_MOTIONS}
        deviation = {name: (flow[name] - median[name]) * _side_speed(name) for name in CAMERA_MOTIONS}
        drift = _trimmed_rms(reduce(np.add, (np.square(deviation[name]) for name in CAMERA_MOTIONS)))
        swing = np.hypot(deviation["pan"], deviation["tilt"])
        path = path.limit(
            max_shake=_trimmed_rms(swing**2) / SHAKE_SPEED, max_jump=float(swing.max()) / JUMP_SPEED
        )
        return Motion(
            motion_mean=float(flow["motion"].mean()),
            motion_p95=float(np.percentile(flow["motion"], 95)),
            still_share=float((flow["motion"] < self.max_still_flow).mean()),
            object_motion=float(flow["object_motion"].mean()),
            camera=self._label(median, drift, path),
            camera_pan=median["pan"],
            camera_tilt=median["tilt"],
            camera_zoom=median["zoom"],
            camera_roll=median["roll"],
            camera_shake=path.shake,
            camera_drift=drift,
            camera_jump=path.jump,
        )

    def _label(self, median: dict[str, float], drift: float, path: CameraPath) -> str:
        speeds = {name: median[name] * _side_speed(name) for name in CAMERA_MOTIONS}
        strongest = max(speeds, key=lambda name: abs(speeds[name]))
        speed = abs(speeds[strongest])
        if path.jump >= self.min_abrupt_jump and path.jump >= self.min_abrupt_ratio * path.usual_jump:
            return "abrupt"
        if path.shake >= self.min_shake and path.jitter >= max(speed / 2, self.min_shake_ratio * drift):
            return "shake"
        if speed >= self.min_camera_speed and speed >= drift / 2:
            return LABELS[strongest][speeds[strongest] > 0]
        if drift >= self.min_handheld_drift or path.shake >= self.min_shake / 2:
            return "handheld"
        return "static"


def _trimmed_rms(squares: Array) -> float:
    """Return the root mean square of the lower four fifths: an object may fill the image for a moment."""
    return float(np.sqrt(np.sort(squares)[: math.ceil(0.8 * len(squares))].mean()))


def _side_speed(name: str) -> float:
    """Return the speed at the ends of the longer side, in longer sides per s, of a camera motion of 1."""
    return {"zoom": 0.5, "roll": math.radians(0.5)}.get(name, 1.0)
