"""Colourfulness: none in gray, more with more saturation, whatever the size."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.mark.parametrize("size", [(120, 200), (480, 800)])
def test_saturation_raises_it(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw, size: tuple[int, int]
) -> None:
    picture, said = next(moving(3, 1, size=size)).astype(np.float32), []
    gray = picture.mean(axis=2, keepdims=True)
    for share in (0.0, 0.3, 0.6, 1.0):
        shown = np.clip(gray + share * (picture - gray), 0, 255).astype(np.uint8)
        scanned = scan(film([shown] * 2, crf=5), meters=("colour",))
        said.append(float(read_signals(scanned.signals, ["colourfulness"])["colourfulness"][0]))
    assert said[0] < 2
    np.testing.assert_allclose(np.array(said[1:3]) / said[3], [0.3, 0.6], atol=0.06)


def test_it_is_the_published_measure(film: Callable[..., Path], scan: Callable[..., Scanned]) -> None:
    halves = np.zeros((128, 256, 3), np.uint8)
    halves[:, :128], halves[:, 128:] = (200, 60, 60), (60, 60, 200)
    scanned = scan(film([halves] * 2, crf=0), meters=("colour",))
    red, green, blue = cv2.split(halves.astype(float))
    across, along = red - green, (red + green) / 2 - blue
    wanted = np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean())
    said = read_signals(scanned.signals, ["colourfulness"])["colourfulness"][0]
    assert said == pytest.approx(wanted, rel=0.06)
