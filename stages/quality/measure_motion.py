"""Measures how much moves in a clip, and what the camera does."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals

SIGNALS = ("motion", "pan", "tilt", "zoom", "roll", "object_motion")
LABELS = {
    "pan": ("pan left", "pan right"),
    "tilt": ("tilt down", "tilt up"),
    "zoom": ("zoom out", "zoom in"),
    "roll": ("roll right", "roll left"),
}


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Motion(Row):
    motion_mean: float = column("mean length of the flow, in longer sides of the picture", unit="1/s")
    motion_p95: float = column("95th percentile over time of the frames' mean flow", unit="1/s")
    still_share: float = column("share of the time in which the flow is below `still_below`", unit="0..1")
    object_motion: float = column("mean length of the flow that the camera does not explain", unit="1/s")
    camera: str = column("static, shake, or the strongest movement: pan left, tilt up, zoom in, roll left …")
    camera_pan: float = column("median speed to the right, in longer sides", unit="1/s")
    camera_tilt: float = column("median speed upwards, in longer sides", unit="1/s")
    camera_zoom: float = column("median growth of the picture", unit="1/s")
    camera_roll: float = column("median clockwise turn of the picture", unit="deg/s")
    camera_shake: float = column(
        "median change of pan and tilt between two looks, in longer sides", unit="1/s"
    )


class MeasureMotion(Annotate[Clip, Motion]):
    """The flow of the looks that lie wholly in the clip.

    For the label, zoom and roll count as the speed they give to the ends of the longer side. Roll
    left is a camera that turns counterclockwise, so that the picture turns clockwise. Rejected: a
    clip so short that no two looks lie in it.
    """

    still_below: float = 0.01  # 1/s; flow below this is still
    static_below: float = 0.02  # 1/s; a camera slower than this is static
    shake_from: float = 0.03  # 1/s; from this on a camera that shakes more than it travels is labelled so

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Motion | Reject]:
        for row in rows:
            stored = read_signals(row.signals, SIGNALS, row.start_frame, row.end_frame)
            looks = np.flatnonzero(np.isfinite(stored["motion"]))[
                1:
            ]  # the first compares with what was before
            if not looks.size:
                yield Reject(f"too short to measure motion: {row.end_frame - row.start_frame} frames")
                continue
            yield self._of({name: values[looks].astype(float) for name, values in stored.items()})

    def _of(self, looks: dict[str, np.ndarray]) -> Motion:
        middle = {name: float(np.median(values)) for name, values in looks.items()}
        jumps = np.hypot(np.diff(looks["pan"]), np.diff(looks["tilt"]))
        shake = float(np.median(jumps)) if jumps.size else 0.0
        return Motion(
            motion_mean=float(looks["motion"].mean()),
            motion_p95=float(np.percentile(looks["motion"], 95)),
            still_share=float((looks["motion"] < self.still_below).mean()),
            object_motion=float(looks["object_motion"].mean()),
            camera=self._label(middle, shake),
            camera_pan=middle["pan"],
            camera_tilt=middle["tilt"],
            camera_zoom=middle["zoom"],
            camera_roll=middle["roll"],
            camera_shake=shake,
        )

    def _label(self, middle: dict[str, float], shake: float) -> str:
        speeds = {
            "pan": middle["pan"],
            "tilt": middle["tilt"],
            "zoom": middle["zoom"] / 2,
            "roll": float(np.radians(middle["roll"])) / 2,
        }
        strongest = max(speeds, key=lambda name: abs(speeds[name]))
        if shake >= self.shake_from and shake > abs(speeds[strongest]):
            return "shake"
        if abs(speeds[strongest]) < self.static_below:
            return "static"
        return LABELS[strongest][speeds[strongest] > 0]
