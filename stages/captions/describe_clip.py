"""Describes each clip with sentences made of measured facts, without a model. A column records this.

"A dim, soft landscape shot of 4.2 seconds, mostly dark grey and blue. The camera pans left slowly, and little
in the scene moves."
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from manifests import Artifact, PositiveInt, Row, column
from pipeline import Annotate, Needs
from stages.captions.colors import name_colors
from stages.media.strip import CroppedStills, decode_still, read_strip

T = TypeVar("T")
TEXT_VERSION = 1  # of the sentences; raise it when they change

# Each word is for values below the number before it. The columns say what the values are.
_LIGHT = ((0.08, "very dark"), (0.2, "dark"), (0.35, "dim"), (0.6, "evenly lit"), (0.8, "bright"))
_DETAIL = ((0.2, "blurred"), (0.45, "soft"), (0.8, "clear"))
_SPEED = ((0.04, " slowly"), (0.15, ""))
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


class MeasuredClip(CroppedStills):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float
    width_px: int
    height_px: int
    light_mean: float
    sharpness: float
    object_motion: float | None = None  # an image has no motion
    camera: str | None = None
    camera_pan: float | None = None
    camera_tilt: float | None = None
    camera_zoom: float | None = None
    camera_roll: float | None = None
    list_caption: str | None = None


class Description(Row):
    caption: str = column("English sentences that describe the clip")
    caption_by: str = column("author of the caption: measured facts, a model with its revision, or list")


class DescribeClip(Annotate[MeasuredClip, Description]):
    """Describes light, detail, shape, length, colors, camera motion and object motion in two sentences.

    If a list of the footage has a column `caption` with a text for the video, this text is the caption.

    Attributes:
        max_stills: Stills of a clip whose colors are named, at most. Higher values take longer.
    """

    version = 2
    needs = Needs(cpus=1, batch=8)

    max_stills: PositiveInt = 5

    def annotate(self, rows: Sequence[MeasuredClip]) -> Iterator[Description]:
        for row in rows:
            if given := (row.list_caption or "").strip():
                yield Description(caption=given, caption_by="list")
                continue
            stills = read_strip(row, row.start_s, row.end_s, self.max_stills)
            colors = name_colors([decode_still(still) for still in stills])
            caption = " ".join(
                sentence for sentence in (_appearance(row, colors), _movement(row)) if sentence
            )
            yield Description(caption=caption, caption_by=f"measured facts, version {TEXT_VERSION}")


def _appearance(row: MeasuredClip, colors: Sequence[str]) -> str:
    light = _below(_LIGHT, row.light_mean, "very bright")
    detail = _below(_DETAIL, row.sharpness, "sharp")
    mostly = f", mostly {' and '.join(colors)}" if colors else ""
    article = "An" if light[0] in "aeiou" else "A"
    kind = "image" if row.camera is None else f"shot of {_length(row.end_s - row.start_s)}"
    return f"{article} {light}, {detail} {_shape(row)} {kind}{mostly}."


def _movement(row: MeasuredClip) -> str:
    if row.camera is None or row.object_motion is None:
        return ""
    camera = _CAMERA.get(row.camera, "moves")
    speed = "" if row.camera in ("static", "shake") else _below(_SPEED, _speed(row), " quickly")
    objects = _below(_OBJECTS, row.object_motion, "much in the scene moves")
    return f"The camera {camera}{speed}, and {objects}."


def _speed(row: MeasuredClip) -> float:
    """Return the speed of the camera motion that the label names, in longer sides of the image per s."""
    speeds = {
        "pan": row.camera_pan or 0.0,
        "tilt": row.camera_tilt or 0.0,
        "zoom": (row.camera_zoom or 0.0) / 2,
        "roll": math.radians(row.camera_roll or 0.0) / 2,
    }
    kind = (row.camera or "").partition(" ")[0]
    return abs(speeds[kind]) if kind in speeds else max(map(abs, speeds.values()))


def _shape(row: MeasuredClip) -> str:
    ratio = (row.crop_width_px or row.width_px) / (row.crop_height_px or row.height_px)
    return "landscape" if ratio > 1.1 else "portrait" if ratio < 1 / 1.1 else "square"


def _length(seconds: float) -> str:
    text = f"{seconds:.1f}".removesuffix(".0") if seconds < 9.95 else f"{seconds:.0f}"
    return f"{text} second" if text == "1" else f"{text} seconds"


def _below(words: Sequence[tuple[float, T]], value: float, beyond: T) -> T:
    """Return the word of the first limit above the value, or `beyond` if there is none."""
    return next((word for limit, word in words if value < limit), beyond)
