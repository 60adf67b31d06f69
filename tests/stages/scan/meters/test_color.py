"""Colorfulness is zero for gray, rises with saturation, and does not depend on the size."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.mark.parametrize("size", [(120, 200), (480, 800)])
def test_colorfulness_rises_with_saturation(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw, size: tuple[int, int]
) -> None:
    image, values = next(moving(3, 1, size=size)).astype(np.float32), []
    gray = image.mean(axis=2, keepdims=True)
    for share in (0.0, 0.3, 0.6, 1.0):
        shown = np.clip(gray + share * (image - gray), 0, 255).astype(np.uint8)
        scanned = scan(film([shown] * 2, crf=5), meters=("color",))
        values.append(float(read_signals(scanned.signals, ["colorfulness"])["colorfulness"][0]))
    assert values[0] < 2
    np.testing.assert_allclose(np.array(values[1:3]) / values[3], [0.3, 0.6], atol=0.06)


def test_colorfulness_matches_the_published_formula(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo]
) -> None:
    halves = np.zeros((128, 256, 3), np.uint8)
    halves[:, :128], halves[:, 128:] = (200, 60, 60), (60, 60, 200)
    scanned = scan(film([halves] * 2, crf=0), meters=("color",))
    red, green, blue = cv2.split(halves.astype(float))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    value = read_signals(scanned.signals, ["colorfulness"])["colorfulness"][0]
    assert value == pytest.approx(expected, rel=0.06)
