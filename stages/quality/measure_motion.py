"""Measures how much moves in a clip, and what the camera does."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals
from stages.quality.path import Travel, path_of

FITTED = ("pan", "tilt", "zoom", "roll")
SIGNALS = ("time_s", "motion", "object_motion", "motion_gap", "slide_right", "slide_up", *FITTED)
LABELS = {
    "pan": ("pan left", "pan right"),
    "tilt": ("tilt down", "tilt up"),
    "zoom": ("zoom out", "zoom in"),
    "roll": ("roll right", "roll left"),
}
# The slides see what is before the camera as well, the looks do not: a camera that shakes or leaps must show
# in both. The speeds of the looks over the length, in 1/s, are 10 to 17 for a shake of 3 … 8 Hz, and never
# below 0.64 for a leap of a fifth of a second, of which a look sees at least 8 % in its eighth.
SWING, LEAP = 6.0, 0.64


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Motion(Row):
    motion_mean: float = column("mean length of the flow, in longer sides of the picture", unit="1/s")
    motion_p95: float = column("95th percentile over time of the frames' mean flow", unit="1/s")
    still_share: float = column("share of the time in which the flow is below `still_below`", unit="0..1")
    object_motion: float = column("mean length of the flow that the camera does not explain", unit="1/s")
    camera: str = column("static, handheld, shake, abrupt, or pan left, tilt up, zoom in, roll left …")
    camera_pan: float = column("median speed to the right, in longer sides", unit="1/s")
    camera_tilt: float = column("median speed upwards, in longer sides", unit="1/s")
    camera_zoom: float = column("median growth of the picture", unit="1/s")
    camera_roll: float = column("median clockwise turn of the picture", unit="deg/s")
    camera_shake: float = column("root mean square off the smoothed path, in longer sides", unit="1")
    camera_drift: float = column(
        "root mean square of the camera's speed off its median, but for its fifth that is fastest", unit="1/s"
    )
    camera_jump: float = column("longest way of the view in a quarter of a second, in longer sides", unit="1")


class MeasureMotion(Annotate[Clip, Motion]):
    """The looks that lie wholly in the clip, and the slides of its frames.

    The label is the first that fits:

        abrupt      one sudden fast move: a way of `abrupt_from` in a quarter of a second, `abrupt_times` as
                    long as is usual in the clip
        shake       jitter above 1.5 Hz of `shake_from`, at least half as fast as the camera travels, and
                    `shake_times` as fast as it drifts: a hand drifts more than it jitters
        pan left …  the strongest of pan, tilt, zoom and roll, from `static_below` on, at least half as fast
                    as the camera drifts. Zoom and roll count as the speed they give to the ends of the longer
                    side. Roll left is a camera that turns counterclockwise: the picture turns clockwise
        handheld    irregular drift from `handheld_from` on, or a little jitter
        static      the rest

    Rejected: a clip so short that no look lies in it.
    """

    version = 2

    still_below: float = 0.01  # 1/s; flow below this is still
    static_below: float = 0.02  # 1/s; a camera slower than this does not travel
    shake_from: float = 0.0025  # longer sides
    shake_times: float = 0.8
    handheld_from: float = 0.008  # 1/s
    abrupt_from: float = 0.12  # longer sides
    abrupt_times: float = 4.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Motion | Reject]:
        for row in rows:
            stored = read_signals(row.signals, SIGNALS, row.start_frame, row.end_frame)
            times_s = stored["time_s"]
            looks = np.flatnonzero(times_s - stored["motion_gap"] >= times_s[:1] - 1e-4)  # NaN is not
            if not looks.size:
                yield Reject(f"too short to measure motion: {row.end_frame - row.start_frame} frames")
                continue
            seen = {name: stored[name][looks].astype(float) for name in ("motion", "object_motion", *FITTED)}
            yield self._of(seen, path_of(times_s, stored["slide_right"], stored["slide_up"]))

    def _of(self, looks: dict[str, np.ndarray], path: Travel) -> Motion:
        middle = {name: float(np.median(looks[name])) for name in FITTED}
        off = {name: _speed(name, looks[name] - middle[name]) for name in FITTED}
        drift = _calm(sum(np.square(off[name]) for name in FITTED))
        swing = np.hypot(off["pan"], off["tilt"])
        path = path.at_most(shake=_calm(swing**2) / SWING, jump=float(swing.max()) / LEAP)
        return Motion(
            motion_mean=float(looks["motion"].mean()),
            motion_p95=float(np.percentile(looks["motion"], 95)),
            still_share=float((looks["motion"] < self.still_below).mean()),
            object_motion=float(looks["object_motion"].mean()),
            camera=self._label(middle, drift, path),
            camera_pan=middle["pan"],
            camera_tilt=middle["tilt"],
            camera_zoom=middle["zoom"],
            camera_roll=middle["roll"],
            camera_shake=path.shake,
            camera_drift=drift,
            camera_jump=path.jump,
        )

    def _label(self, middle: dict[str, float], drift: float, path: Travel) -> str:
        speeds = {name: float(_speed(name, middle[name])) for name in FITTED}
        strongest = max(speeds, key=lambda name: abs(speeds[name]))
        speed = abs(speeds[strongest])
        if path.jump >= self.abrupt_from and path.jump >= self.abrupt_times * path.usual:
            return "abrupt"
        if path.shake >= self.shake_from and path.jitter >= max(speed / 2, self.shake_times * drift):
            return "shake"
        if speed >= self.static_below and speed >= drift / 2:
            return LABELS[strongest][speeds[strongest] > 0]
        if drift >= self.handheld_from or path.shake >= self.shake_from / 2:
            return "handheld"
        return "static"


def _calm(squares: np.ndarray) -> float:
    """Root mean square of the lower four fifths: what fills the picture for a moment is no camera."""
    return float(np.sqrt(np.sort(squares)[: math.ceil(0.8 * len(squares))].mean()))


def _speed(name: str, value: "float | np.ndarray") -> "float | np.ndarray":
    """Longer sides/s that a motion gives to the ends of the longer side, or to all."""
    return value * {"zoom": 0.5, "roll": math.radians(0.5)}.get(name, 1.0)
