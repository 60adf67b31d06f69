"""Meter values of images whose correct values are known."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from stages.scan.meter import FrameView, load_meter, small_size

Draw = Callable[..., Iterator[np.ndarray]]


class _Frame:
    """A decoded frame whose pixels are given."""

    orientation = 0

    def __init__(self, image: np.ndarray) -> None:
        self._image = image

    def pixels_view(self, layout: str, **options: Any) -> np.ndarray:
        assert layout == "bgr24"
        return self._image[..., ::-1]


def _measure(name: str, images: Any, fps: float = 24.0, stills: bool = False) -> dict[str, np.ndarray]:
    """Return the columns of a meter over RGB images."""
    meter, values = load_meter(name), []
    for k, image in enumerate(images):
        small = small_size(image.shape[1], image.shape[0])
        view = FrameView(_Frame(image), k / fps, 1 / fps if k else 0.0, small)  # type: ignore[arg-type]
        view.still = image if stills else None
        values.append(meter.update(view))
    return dict(zip(meter.columns, np.array(values, float).T, strict=True))


def _flat(value: int, count: int = 1) -> list[np.ndarray]:
    return [np.full((96, 160, 3), value, np.uint8)] * count


def test_content_matches_pyscenedetect(moving: Draw) -> None:
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import ContentDetector
    from scenedetect.stats_manager import StatsManager

    images = [*moving(1, 6, step=(4, 1)), *moving(2, 6, step=(0, 3))]
    detector, stats = ContentDetector(), StatsManager()
    detector.stats_manager = stats
    stats.register_metrics(detector.get_metrics())
    times = [FrameTimecode(k, 24.0) for k in range(len(images))]
    for time, image in zip(times, images, strict=True):
        detector.process_frame(time, np.ascontiguousarray(image[..., ::-1]))
    values = _measure("content", images)
    for k in range(1, len(images)):
        assert [values[name][k] for name in values] == stats.get_metrics(times[k], list(values))


def test_light_of_black_white_and_gray() -> None:
    half = _flat(0)[0].copy()
    half[:, :40] = 255
    values = _measure("light", [*_flat(0), *_flat(255), *_flat(128), half], stills=True)
    np.testing.assert_allclose(values["light_mean"], [0, 1, 128 / 255, 0.25], atol=1e-6)
    np.testing.assert_allclose(values["light_spread"], [0, 0, 0, math.sqrt(3) / 4], atol=1e-6)
    assert values["clipped_dark"].tolist() == [1, 0, 0, 0.75]
    assert values["clipped_bright"].tolist() == [0, 1, 0, 0.25]


def test_a_color_is_clipped_if_two_channels_are() -> None:
    colors = ((255, 200, 255), (255, 90, 180), (255, 252, 90))
    images = [np.full((96, 160, 3), color, np.uint8) for color in colors]
    assert _measure("light", images, stills=True)["clipped_bright"].tolist() == [1, 0, 1]


def test_borders_are_measured_on_each_side(moving: Draw) -> None:
    image = next(moving(1, 1)).copy()
    image[:12] = image[-24:] = 3
    image[:, :16] = 0
    values = _measure("borders", [image, *_flat(0)], stills=True)
    assert [values[name][0] for name in values] == [12 / 96, 24 / 96, 16 / 160, 0]
    assert [values[name][1] for name in values] == [1, 1, 1, 1]


def test_a_caption_in_a_bar_leaves_the_bar_and_a_lamp_in_the_dark_makes_none(moving: Draw) -> None:
    boxed = next(moving(1, 1, size=(144, 256))).copy()
    boxed[:18] = boxed[-36:] = 3
    for line in (126, 138):  # two lines of a subtitle, and a logo in the upper bar
        cv2.putText(boxed, "So it is said, she says.", (50, line), 0, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    cv2.circle(boxed, (20, 9), 6, (255, 255, 255), 2)
    pillars = np.ascontiguousarray(np.rot90(boxed))
    dark = np.zeros_like(boxed)  # a lit figure, wider towards its middle, in a dark room
    cv2.ellipse(dark, (128, 72), (120, 50), 0, 0, 360, (90, 90, 90), -1)
    values = _measure("borders", [boxed, dark], stills=True)
    assert values["border_top"][0] == pytest.approx(18 / 144, abs=0.01)
    assert values["border_bottom"][0] == pytest.approx(36 / 144, abs=0.01)
    assert values["border_top"][1] == pytest.approx(22 / 144, abs=0.02)
    turned = _measure("borders", [pillars], stills=True)
    assert turned["border_left"][0] == pytest.approx(18 / 144, abs=0.01)
    assert turned["border_right"][0] == pytest.approx(36 / 144, abs=0.01)


def test_repeated_frames_have_no_change(moving: Draw) -> None:
    one, two = list(moving(1, 2, step=(1, 0)))
    values = _measure("repeats", [one, one, two, two])
    assert values["change_max"][1] == values["change_max"][3] == 0
    assert values["change_max"][2] > 6


def test_blur_lowers_sharpness_and_contrast_does_not(moving: Draw) -> None:
    sharp = next(moving(5, 1, size=(240, 400)))
    pale = (sharp * 0.5 + 60).astype(np.uint8)
    blurred = [cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (1, 2, 3)]
    values = _measure("sharpness", [sharp, pale, *blurred], stills=True)["sharpness"]
    assert values[1] == pytest.approx(values[0], rel=0.15)
    assert (np.diff(values[[0, 2, 3, 4]]) < 0).all()
    assert np.isnan(_measure("sharpness", [sharp])["sharpness"]).all()
