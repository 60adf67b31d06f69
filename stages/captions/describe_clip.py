"""Describe each clip in words made of measured facts: no model has looked at it, and the caption says so.

"A dim, soft landscape shot of 4.2 seconds, mostly dark grey and blue. The camera pans left slowly, and little
in the scene moves."
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs
from stages.captions.colours import colours_of
from stages.media.strip import pixels_of, read_strip

T = TypeVar("T")

# Each word goes with values below the number before it. What the values are, their columns say.
_LIGHT = ((0.08, "very dark"), (0.2, "dark"), (0.35, "dim"), (0.6, "evenly lit"), (0.8, "bright"))
_DETAIL = ((0.2, "blurred"), (0.45, "soft"), (0.8, "clear"))
_PACE = ((0.04, " slowly"), (0.15, ""))
_OBJECTS = (
    (0.01, "hardly anything in the scene moves"),
    (0.04, "little in the scene moves"),
    (0.12, "things in the scene move"),
)
_CAMERA = {
    "static": "stays still",
    "shake": "shakes",
    "pan left": "pans left",
    "pan right": "pans right",
    "tilt up": "tilts up",
    "tilt down": "tilts down",
    "zoom in": "zooms in",
    "zoom out": "zooms out",
    "roll left": "rolls to the left",
    "roll right": "rolls to the right",
}


class MeasuredClip(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float
    width_px: int
    height_px: int
    light_mean: float
    sharpness: float
    object_motion: float
    camera: str
    camera_pan: float
    camera_tilt: float
    camera_zoom: float
    camera_roll: float


class Described(Row):
    caption: str = column("what the clip shows, in English sentences")
    caption_by: str = column("who wrote the caption: measured facts, or a model with its revision")


class DescribeClip(Annotate[MeasuredClip, Described]):
    """Light, detail, shape, length, the colours of up to `stills` stills, what the camera and the rest do."""

    stills: int = 5

    needs = Needs(cpus=1, batch=8)

    def annotate(self, rows: Sequence[MeasuredClip]) -> Iterator[Described]:
        for row in rows:
            stills = read_strip(row, row.start_s, row.end_s, self.stills)
            colours = colours_of([pixels_of(still) for still in stills])
            caption = f"{_look(row, colours)} {_movement(row)}"
            yield Described(caption=caption, caption_by=f"measured facts, version {self.version}")


def _look(row: MeasuredClip, colours: Sequence[str]) -> str:
    light = _below(_LIGHT, row.light_mean, "very bright")
    detail = _below(_DETAIL, row.sharpness, "sharp")
    mostly = f", mostly {' and '.join(colours)}" if colours else ""
    article = "An" if light[0] in "aeiou" else "A"
    return f"{article} {light}, {detail} {_shape(row)} shot of {_length(row.end_s - row.start_s)}{mostly}."


def _movement(row: MeasuredClip) -> str:
    camera = _CAMERA.get(row.camera, "moves")
    pace = "" if row.camera in ("static", "shake") else _below(_PACE, _speed(row), " quickly")
    objects = _below(_OBJECTS, row.object_motion, "much in the scene moves")
    return f"The camera {camera}{pace}, and {objects}."


def _speed(row: MeasuredClip) -> float:
    """Of the movement that the camera is named after, in longer sides of the picture per second."""
    speeds = {
        "pan": row.camera_pan,
        "tilt": row.camera_tilt,
        "zoom": row.camera_zoom / 2,
        "roll": math.radians(row.camera_roll) / 2,
    }
    named = row.camera.partition(" ")[0]
    return abs(speeds[named]) if named in speeds else max(map(abs, speeds.values()))


def _shape(row: MeasuredClip) -> str:
    ratio = row.width_px / row.height_px
    return "landscape" if ratio > 1.1 else "portrait" if ratio < 1 / 1.1 else "square"


def _length(seconds: float) -> str:
    said = f"{seconds:.1f}".removesuffix(".0") if seconds < 9.95 else f"{seconds:.0f}"
    return f"{said} second" if said == "1" else f"{said} seconds"


def _below(words: Sequence[tuple[float, T]], value: float, beyond: T) -> T:
    """The word of the first limit that the value is below."""
    return next((word for limit, word in words if value < limit), beyond)
