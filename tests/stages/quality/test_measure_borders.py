"""The picture inside black borders and blurred bars is found; clips without borders are not cropped."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from manifests import ClipmillError
from pipeline import Keep
from stages.media.strip import CroppedStills, decode_still, read_strip
from stages.quality.measure_borders import Borders, Clip, MeasureBorders
from stages.recipes.curate import curate
from stages.recipes.filters import Filters
from stages.scan.scan_video import ScannedVideo

Rectangle = tuple[int, int, int, int]  # x, y, width, height


def framed(
    frames: Iterator[np.ndarray], size: tuple[int, int], rectangle: Rectangle, blurred: bool
) -> Iterator[np.ndarray]:
    """Frames in a rectangle of a larger image, which is black, or shows them enlarged and blurred."""
    (width, height), (x, y, inner_width, inner_height) = size, rectangle
    for frame in frames:
        picture = cv2.resize(frame, (inner_width, inner_height), interpolation=cv2.INTER_AREA)
        image = np.zeros((height, width, 3), np.uint8)
        if blurred:
            scale = max(width / inner_width, height / inner_height)
            large = cv2.resize(picture, None, fx=scale, fy=scale)
            top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
            image = cv2.GaussianBlur(large[top:, left:][:height, :width], (0, 0), 0.025 * width) // 4 * 3
        image[y : y + inner_height, x : x + inner_width] = picture
        yield image


def row_of(scanned: ScannedVideo, size: tuple[int, int]) -> Clip:
    return Clip(
        signals=scanned.signals, strip=scanned.strip, strip_times_s=scanned.strip_times_s,
        strip_offsets=scanned.strip_offsets, start_frame=0, end_frame=scanned.scanned_frames, start_s=0.0,
        end_s=scanned.scanned_s, width_px=size[0], height_px=size[1],
    )  # fmt: skip


def picture(found: Borders) -> Rectangle:
    return found.crop_x_px, found.crop_y_px, found.crop_width_px, found.crop_height_px


def overlap(one: Rectangle, other: Rectangle) -> float:
    """Intersection over union of two rectangles."""
    sides = [
        max(0, min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k])) for k in (0, 1)
    ]
    shared = sides[0] * sides[1]
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


@pytest.mark.parametrize(
    ("kind", "size", "rectangle"),
    [
        ("black", (640, 360), (0, 44, 640, 272)),
        ("black", (640, 360), (80, 0, 480, 360)),
        ("blurred", (640, 360), (219, 0, 202, 360)),
        ("blurred", (360, 640), (0, 219, 360, 202)),
        ("none", (640, 360), (0, 0, 640, 360)),
    ],
)
def test_the_picture_inside_borders(
    kind: str,
    size: tuple[int, int],
    rectangle: Rectangle,
    film: Callable[..., Path],
    moving: Callable[..., Any],
    scan: Callable[..., ScannedVideo],
) -> None:
    frames = moving(5, 8, size=(rectangle[3], rectangle[2]), step=(6, 3))
    path = film(framed(frames, size, rectangle, kind == "blurred"), fps=4)
    row = row_of(scan(path, meters=("borders",)), size)
    [found] = MeasureBorders().annotate([row])
    assert isinstance(found, Borders)
    assert found.border_kind == kind
    x, y, width, height = picture(found)
    assert overlap((x, y, width, height), rectangle) > (0.999 if kind == "none" else 0.96)
    assert all(value % 2 == 0 for value in (x, y, width, height))
    assert x >= rectangle[0]
    assert y >= rectangle[1]
    assert x + width <= rectangle[0] + rectangle[2], "a line of the border remains"
    assert y + height <= rectangle[1] + rectangle[3], "a line of the border remains"


def test_stills_are_cropped_to_the_picture(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo]
) -> None:
    image = np.zeros((90, 160, 3), np.uint8)
    image[20:70] = (200, 60, 60)
    scanned = scan(film([image] * 4, fps=2), meters=())
    columns = {
        "crop_x_px": 0, "crop_y_px": 22, "crop_width_px": 160, "crop_height_px": 46, "width_px": 160,
    }  # fmt: skip

    class Row(CroppedStills):
        strip: Any
        strip_times_s: tuple[float, ...]
        strip_offsets: tuple[int, ...]

    places = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    inside = [decode_still(s) for s in read_strip(Row(**places, **columns, height_px=90))]
    assert {still.shape for still in inside} == {(46, 160, 3)}
    assert min(still[..., 0].min() for still in inside) > 150
    whole = Row(**places, crop_width_px=160, crop_height_px=90, width_px=160, height_px=90)
    assert [s.jpeg for s in read_strip(whole)] == [s.jpeg for s in read_strip(Row(**places))]


def test_the_knob_borders() -> None:
    dropped, cropped, kept = (
        curate("x", filters=Filters(borders=value)).nodes for value in ("drop", "crop", "keep")
    )
    assert dropped["letterboxed"].work == Keep("border_share < 0.08", "letterboxed")
    assert not {"letterboxed", "measure_borders"} & set(kept)
    assert "letterboxed" not in cropped
    order = list(cropped)
    assert order.index("too_short") < order.index("measure_borders") < order.index("measure_overlay")
    with pytest.raises(ClipmillError, match="no borders 'cut'"):
        curate("x", filters=Filters(borders="cut"))
