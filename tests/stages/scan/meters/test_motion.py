"""What the motion meter says about cameras and things whose ways are known."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.meter import View, small_size
from stages.scan.meters.motion import Motion
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]
WIDE = (144, 256)


class _Picture:
    """Stands in for a decoded frame: its pixels are given."""

    turns = 0

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = picture

    def borrowed(self, layout: str, **how: Any) -> np.ndarray:
        assert layout == "bgr24"
        return self._picture[..., ::-1]


def _measure(pictures: Any, fps: float = 24.0, first: int = 0) -> dict[str, np.ndarray]:
    """The meter's columns over RGB pictures, of which the first is frame `first`."""
    meter, said = Motion(), []
    for k, picture in enumerate(pictures):
        small = small_size(picture.shape[1], picture.shape[0])
        view = View(_Picture(picture), (first + k) / fps, 1 / fps if k else 0.0, small)  # type: ignore[arg-type]
        said.append(meter.update(view))
    return dict(zip(meter.columns, np.array(said, float).T, strict=True))


@pytest.mark.parametrize(
    ("how", "column", "per_s"),
    [
        ({"step": (2.0, 0.0)}, "pan", 2 * 24 / 256),
        ({"step": (-0.25, 0.0)}, "pan", -0.25 * 24 / 256),
        ({"step": (0.0, -2.0)}, "tilt", 2 * 24 / 256),
        ({"step": (12.0, 0.0)}, "pan", 12 * 24 / 256),
        ({"zoom": 1.01}, "zoom", 24 * math.log(1.01)),
        ({"zoom": 0.995}, "zoom", 24 * math.log(0.995)),
    ],
)
def test_the_camera_is_measured(moving: Draw, how: dict[str, Any], column: str, per_s: float) -> None:
    said = _measure(moving(3, 20, size=WIDE, **how))
    camera = {name: float(np.nanmedian(said[name])) for name in ("pan", "tilt", "zoom")}
    assert camera.pop(column) == pytest.approx(per_s, rel=0.05)
    assert all(abs(rest) < 0.01 for rest in camera.values())
    assert np.nanmedian(said["object_motion"]) < 0.02
    assert np.nanmedian(said["camera_agreed"]) > 0.85


def test_each_frame_slides(moving: Draw) -> None:
    said = _measure(moving(3, 8, size=WIDE, step=(3.0, -1.5)))
    assert np.isnan(said["slide_right"][0])
    np.testing.assert_allclose(said["slide_right"][1:], 3 / 256, rtol=0.1)
    np.testing.assert_allclose(said["slide_up"][1:], 1.5 / 256, rtol=0.1)


def test_another_picture_has_not_slid(moving: Draw) -> None:
    said = _measure([next(moving(3, 1, size=WIDE)), next(moving(8, 1, size=WIDE))])
    assert np.isnan(said["slide_right"][1]) or np.isnan(said["slide_up"][1])


@pytest.mark.parametrize("fps", [3.0, 12.0, 25.0, 60.0])
def test_motion_does_not_depend_on_the_frame_rate(moving: Draw, fps: float) -> None:
    said = _measure(moving(3, round(2 * fps) + 1, size=WIDE, step=(24 / fps, 0)), fps)
    looks = np.flatnonzero(np.isfinite(said["motion"]))
    assert len(looks) == pytest.approx(min(fps * 2, 8), abs=1)
    np.testing.assert_allclose(said["pan"][looks], 24 / 256, rtol=0.08)
    assert (said["motion_gap"][looks] == pytest.approx(max(1 / 8, 1 / fps), abs=1 / fps)) is True


def test_a_look_depends_on_the_frames_just_before_it_alone(moving: Draw) -> None:
    pictures = list(moving(3, 60, size=WIDE, step=(2.0, 1.0)))
    whole, late = _measure(pictures, 25.0), _measure(pictures[20:], 25.0, first=20)
    for name in whole:
        np.testing.assert_array_equal(whole[name][28:], late[name][8:])


@pytest.mark.parametrize("size", [WIDE, (256, 144)])
def test_a_roll_turns_the_picture_clockwise(moving: Draw, size: tuple[int, int]) -> None:
    world = next(moving(3, 1, size=(512, 512)))
    middle, corner = (255.5, 255.5), ((512 - size[1]) // 2, (512 - size[0]) // 2)
    turns = [cv2.getRotationMatrix2D(middle, -k * 0.5, 1.0) for k in range(14)]
    turned = [cv2.warpAffine(world, turn, (512, 512)) for turn in turns]
    seen = [p[corner[1] : corner[1] + size[0], corner[0] : corner[0] + size[1]] for p in turned]
    said = _measure(seen, fps=24)
    assert np.nanmedian(said["roll"]) == pytest.approx(12, rel=0.05)
    assert abs(np.nanmedian(said["pan"])) < 0.01


@pytest.mark.parametrize("camera", [(0.0, 0.0), (1.5, 0.0)])
def test_what_moves_before_the_camera_does_not_move_it(moving: Draw, camera: tuple[float, float]) -> None:
    under = list(moving(3, 20, size=WIDE, step=camera))
    over = list(moving(9, 20, size=WIDE, step=(-2.0, 0.5)))
    cover = np.zeros((*WIDE, 1), bool)
    cover[30:114, 60:200] = True  # a third of the picture
    said = _measure([np.where(cover, o, u) for o, u in zip(over, under, strict=True)])
    per_s = 24 / 256
    np.testing.assert_allclose(said["pan"][np.isfinite(said["pan"])], camera[0] * per_s, atol=0.01)
    way = math.hypot(camera[0] + 2.0, 0.5) * per_s * cover.mean()
    assert 0.65 * way < np.nanmedian(said["object_motion"]) < 1.05 * way  # patches on its rim see neither


def test_black_bars_do_not_hold_the_camera(moving: Draw) -> None:
    boxed = [p.copy() for p in moving(3, 20, size=WIDE, step=(0.0, -1.0))]
    for picture in boxed:
        picture[:20] = picture[-20:] = 0
    said = _measure(boxed)
    assert np.nanmedian(said["tilt"]) == pytest.approx(24 / 256, rel=0.05)
    assert np.nanmedian(said["slide_up"]) == pytest.approx(1 / 256, rel=0.1)


@pytest.mark.parametrize("size", [(2, 2), (16, 300), (40, 8), (1, 640)])
def test_any_size_has_an_answer(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    said = _measure([rng.integers(0, 255, (*size, 3), np.uint8)] * 12)
    assert np.isfinite(said["motion"]).any()
    assert np.nanmax(np.abs(said["motion"])) == 0


def test_the_numbers_come_through_a_scan(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    path = film(moving(5, 40, size=(180, 320), step=(2.0, 0.0)), fps=25)
    stored = read_signals(scan(path, meters=("motion",)).signals, Motion.columns)
    assert np.nanmedian(stored["pan"]) == pytest.approx(2 * 25 / 320, rel=0.05)
