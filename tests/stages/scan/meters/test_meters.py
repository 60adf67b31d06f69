"""What each meter says about pictures whose answer is known."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from stages.scan.meter import View, meter_named, small_size

Draw = Callable[..., Iterator[np.ndarray]]


class _Picture:
    """Stands in for a decoded frame: its pixels are given."""

    turns = 0

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = picture

    def borrowed(self, layout: str, **how: Any) -> np.ndarray:
        assert layout == "bgr24"
        return self._picture[..., ::-1]


def _measure(name: str, pictures: Any, fps: float = 24.0, stills: bool = False) -> dict[str, np.ndarray]:
    """A meter's columns over RGB pictures."""
    meter, said = meter_named(name), []
    for k, picture in enumerate(pictures):
        small = small_size(picture.shape[1], picture.shape[0])
        view = View(_Picture(picture), k / fps, 1 / fps if k else 0.0, small)  # type: ignore[arg-type]
        view.still = picture if stills else None
        said.append(meter.update(view))
    return dict(zip(meter.columns, np.array(said, float).T, strict=True))


def _flat(value: int, count: int = 1) -> list[np.ndarray]:
    return [np.full((96, 160, 3), value, np.uint8)] * count


def test_content_is_pyscenedetects(moving: Draw) -> None:
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import ContentDetector
    from scenedetect.stats_manager import StatsManager

    pictures = [*moving(1, 6, step=(4, 1)), *moving(2, 6, step=(0, 3))]
    theirs, stats = ContentDetector(), StatsManager()
    theirs.stats_manager = stats
    stats.register_metrics(theirs.get_metrics())
    times = [FrameTimecode(k, 24.0) for k in range(len(pictures))]
    for when, picture in zip(times, pictures, strict=True):
        theirs.process_frame(when, np.ascontiguousarray(picture[..., ::-1]))
    ours = _measure("content", pictures)
    for k in range(1, len(pictures)):
        assert [ours[name][k] for name in ours] == stats.get_metrics(times[k], list(ours))


def test_light_knows_black_white_and_gray() -> None:
    half = _flat(0)[0].copy()
    half[:, :40] = 255
    said = _measure("light", [*_flat(0), *_flat(255), *_flat(128), half], stills=True)
    np.testing.assert_allclose(said["light_mean"], [0, 1, 128 / 255, 0.25], atol=1e-6)
    np.testing.assert_allclose(said["light_spread"], [0, 0, 0, math.sqrt(3) / 4], atol=1e-6)
    assert said["clipped_dark"].tolist() == [1, 0, 0, 0.75]
    assert said["clipped_bright"].tolist() == [0, 1, 0, 0.25]


def test_borders_are_measured_on_each_side(moving: Draw) -> None:
    picture = next(moving(1, 1)).copy()
    picture[:12] = picture[-24:] = 3
    picture[:, :16] = 0
    said = _measure("borders", [picture, *_flat(0)], stills=True)
    assert [said[name][0] for name in said] == [12 / 96, 24 / 96, 16 / 160, 0]
    assert [said[name][1] for name in said] == [1, 1, 1, 1]


def test_repeats_are_told_from_change(moving: Draw) -> None:
    one, two = list(moving(1, 2, step=(1, 0)))
    said = _measure("repeats", [one, one, two, two])
    assert said["change_max"][1] == said["change_max"][3] == 0
    assert said["change_max"][2] > 6


def test_blur_lowers_sharpness_and_contrast_does_not(moving: Draw) -> None:
    sharp = next(moving(5, 1, size=(240, 400)))
    pale = (sharp * 0.5 + 60).astype(np.uint8)
    blurred = [cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (1, 2, 3)]
    said = _measure("sharpness", [sharp, pale, *blurred], stills=True)["sharpness"]
    assert said[1] == pytest.approx(said[0], rel=0.15)
    assert (np.diff(said[[0, 2, 3, 4]]) < 0).all()
    assert np.isnan(_measure("sharpness", [sharp])["sharpness"]).all()
