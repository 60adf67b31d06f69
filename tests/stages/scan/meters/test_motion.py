"""Motion values of cameras and objects whose motion is known."""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.meter import FrameView, small_size
from stages.scan.meters.motion import Motion
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]
WIDE = (144, 256)


class _Frame:
    """A decoded frame whose pixels are given."""

    orientation = 0

    def __init__(self, image: np.ndarray) -> None:
        self._image = image

    def pixels_view(self, layout: str, **options: Any) -> np.ndarray:
        assert layout == "bgr24"
        return self._image[..., ::-1]


def _measure(images: Any, fps: float = 24.0, first: int = 0) -> dict[str, np.ndarray]:
    """Return the meter's columns over RGB images; the first one is frame `first`."""
    meter, values = Motion(), []
    for k, image in enumerate(images):
        small = small_size(image.shape[1], image.shape[0])
        view = FrameView(_Frame(image), (first + k) / fps, 1 / fps if k else 0.0, small)  # type: ignore[arg-type]
        values.append(meter.update(view))
    return dict(zip(meter.columns, np.array(values, float).T, strict=True))


@pytest.mark.parametrize(
    ("camera", "column", "per_s"),
    [
        ({"step": (2.0, 0.0)}, "pan", 2 * 24 / 256),
        ({"step": (-0.25, 0.0)}, "pan", -0.25 * 24 / 256),
        ({"step": (0.0, -2.0)}, "tilt", 2 * 24 / 256),
        ({"step": (12.0, 0.0)}, "pan", 12 * 24 / 256),
        ({"zoom": 1.01}, "zoom", 24 * math.log(1.01)),
        ({"zoom": 0.995}, "zoom", 24 * math.log(0.995)),
    ],
)
def test_the_camera_is_measured(moving: Draw, camera: dict[str, Any], column: str, per_s: float) -> None:
    values = _measure(moving(3, 20, size=WIDE, **camera))
    measured = {name: float(np.nanmedian(values[name])) for name in ("pan", "tilt", "zoom")}
    assert measured.pop(column) == pytest.approx(per_s, rel=0.05)
    assert all(abs(rest) < 0.01 for rest in measured.values())
    assert np.nanmedian(values["object_motion"]) < 0.02
    assert np.nanmedian(values["camera_inlier_share"]) > 0.85


def test_each_frame_has_a_shift(moving: Draw) -> None:
    values = _measure(moving(3, 8, size=WIDE, step=(3.0, -1.5)))
    assert np.isnan(values["shift_right"][0])
    np.testing.assert_allclose(values["shift_right"][1:], 3 / 256, rtol=0.1)
    np.testing.assert_allclose(values["shift_up"][1:], 1.5 / 256, rtol=0.1)


def test_an_unrelated_image_has_no_shift(moving: Draw) -> None:
    values = _measure([next(moving(3, 1, size=WIDE)), next(moving(8, 1, size=WIDE))])
    assert np.isnan(values["shift_right"][1]) or np.isnan(values["shift_up"][1])


@pytest.mark.parametrize("fps", [3.0, 12.0, 25.0, 60.0])
def test_motion_does_not_depend_on_the_frame_rate(moving: Draw, fps: float) -> None:
    values = _measure(moving(3, round(2 * fps) + 1, size=WIDE, step=(24 / fps, 0)), fps)
    measured = np.flatnonzero(np.isfinite(values["motion"]))
    assert len(measured) == pytest.approx(min(fps * 2, 8), abs=1)
    np.testing.assert_allclose(values["pan"][measured], 24 / 256, rtol=0.08)
    assert (values["motion_interval"][measured] == pytest.approx(max(1 / 8, 1 / fps), abs=1 / fps)) is True


def test_a_value_depends_only_on_the_frames_just_before_it(moving: Draw) -> None:
    images = list(moving(3, 60, size=WIDE, step=(2.0, 1.0)))
    whole, late = _measure(images, 25.0), _measure(images[20:], 25.0, first=20)
    for name in whole:
        np.testing.assert_array_equal(whole[name][28:], late[name][8:])


@pytest.mark.parametrize("size", [WIDE, (256, 144)])
def test_roll_is_positive_when_the_image_turns_clockwise(moving: Draw, size: tuple[int, int]) -> None:
    world = next(moving(3, 1, size=(512, 512)))
    middle, corner = (255.5, 255.5), ((512 - size[1]) // 2, (512 - size[0]) // 2)
    turns = [cv2.getRotationMatrix2D(middle, -k * 0.5, 1.0) for k in range(14)]
    rotated = [cv2.warpAffine(world, turn, (512, 512)) for turn in turns]
    cropped = [p[corner[1] : corner[1] + size[0], corner[0] : corner[0] + size[1]] for p in rotated]
    values = _measure(cropped, fps=24)
    assert np.nanmedian(values["roll"]) == pytest.approx(12, rel=0.05)
    assert abs(np.nanmedian(values["pan"])) < 0.01


@pytest.mark.parametrize("camera", [(0.0, 0.0), (1.5, 0.0)])
def test_foreground_motion_does_not_change_the_camera_motion(
    moving: Draw, camera: tuple[float, float]
) -> None:
    under = list(moving(3, 20, size=WIDE, step=camera))
    over = list(moving(9, 20, size=WIDE, step=(-2.0, 0.5)))
    cover = np.zeros((*WIDE, 1), bool)
    cover[30:114, 60:200] = True  # a third of the image
    values = _measure([np.where(cover, o, u) for o, u in zip(over, under, strict=True)])
    per_s = 24 / 256
    np.testing.assert_allclose(values["pan"][np.isfinite(values["pan"])], camera[0] * per_s, atol=0.01)
    length = math.hypot(camera[0] + 2.0, 0.5) * per_s * cover.mean()
    # Patches on the edge of the foreground see neither motion.
    assert 0.65 * length < np.nanmedian(values["object_motion"]) < 1.05 * length


def test_black_bars_do_not_reduce_the_camera_motion(moving: Draw) -> None:
    boxed = [p.copy() for p in moving(3, 20, size=WIDE, step=(0.0, -1.0))]
    for image in boxed:
        image[:20] = image[-20:] = 0
    values = _measure(boxed)
    assert np.nanmedian(values["tilt"]) == pytest.approx(24 / 256, rel=0.05)
    assert np.nanmedian(values["shift_up"]) == pytest.approx(1 / 256, rel=0.1)


@pytest.mark.parametrize(
    ("fps", "pattern"), [(24, (2,)), (10, (3, 2)), (12, (3,)), (12, (4,)), (24, (5, 4, 6))]
)
def test_motion_is_measured_between_frames_that_repeat_no_other(
    moving: Draw, fps: int, pattern: tuple[int, ...]
) -> None:
    counts = itertools.islice(itertools.cycle(pattern), 4 * fps)
    starts = [0, *itertools.accumulate(counts)]
    shown = [start for start, end in itertools.pairwise(starts) for _ in range(end - start)][: 4 * fps]
    images = list(moving(3, 4 * fps, size=WIDE, step=(24 / fps, 0)))
    values = _measure([images[k] for k in shown], fps)
    measured = np.isfinite(values["pan"])
    assert measured.sum() >= min(12, 3 * fps * len(pattern) / sum(pattern))
    np.testing.assert_allclose(values["pan"][measured], 24 / 256, rtol=0.12)


def test_a_textured_object_before_a_plain_wall_is_not_the_camera(moving: Draw) -> None:
    wall = cv2.GaussianBlur(next(moving(4, 1, size=WIDE)), (0, 0), 5) // 2 + 100
    images = []
    over = next(moving(9, 1, size=WIDE))
    for k in range(30):
        left = 48 + round(14 * math.sin(2 * math.pi * 1.5 * k / 24))
        image = wall.copy()
        image[30:120, left : left + 160] = over[30:120, :160]
        images.append(image)
    values = _measure(images)
    assert np.nanmedian(np.abs(values["pan"])) < 0.02
    assert np.nanmedian(values["object_motion"]) > 0.05


@pytest.mark.parametrize("size", [(2, 2), (16, 300), (40, 8), (1, 640)])
def test_any_frame_size_is_measured(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    values = _measure([rng.integers(0, 255, (*size, 3), np.uint8)] * 36)
    assert np.isfinite(values["motion"]).any()
    assert np.nanmax(np.abs(values["motion"])) == 0


def test_a_scan_stores_the_values(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    path = film(moving(5, 40, size=(180, 320), step=(2.0, 0.0)), fps=25)
    stored = read_signals(scan(path, meters=("motion",)).signals, Motion.columns)
    assert np.nanmedian(stored["pan"]) == pytest.approx(2 * 25 / 320, rel=0.05)
