"""Blockiness rises as a codec is given fewer bits, and neither blur nor noise nor darkness looks like it."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture
def blockiness(film: Callable[..., Path], scan: Callable[..., Scanned]) -> Callable[..., float]:
    def run(pictures: list[np.ndarray], crf: int = 16) -> float:
        scanned = scan(film(pictures, crf=crf), meters=("blocks",), stills_per_s=24.0)
        return float(np.median(read_signals(scanned.signals, ["blockiness"])["blockiness"]))

    return run


@pytest.mark.parametrize("size", [(180, 320), (360, 640), (718, 1278)])
def test_it_rises_as_bits_go(blockiness: Callable[..., float], moving: Draw, size: tuple[int, int]) -> None:
    pictures = list(moving(2, 12, size=size, step=(2, 1)))
    said = [blockiness(pictures, crf) for crf in (16, 34, 42, 48)]
    assert max(said[:2]) < 0.1
    assert said[1] < said[2] < said[3]
    assert said[2] > 0.12
    assert said[3] > 0.3


def test_other_defects_are_not_taken_for_it(blockiness: Callable[..., float], moving: Draw) -> None:
    good, rng = list(moving(2, 12, size=(360, 640), step=(2, 1))), np.random.default_rng(1)
    said = {
        "blurred": [cv2.GaussianBlur(p, (0, 0), 5) for p in good],
        "dark": [(p * 0.2).astype(np.uint8) for p in good],
        "noisy": [np.clip(p + rng.normal(0, 12, p.shape), 0, 255).astype(np.uint8) for p in good],
        "letterboxed": [cv2.copyMakeBorder(p[40:-40], 40, 40, 0, 0, cv2.BORDER_CONSTANT) for p in good],
    }
    assert {name for name, pictures in said.items() if blockiness(pictures) > 0.2} == set()


def test_a_grid_in_the_picture_itself_is_blocks_only_where_it_is_the_codecs(
    blockiness: Callable[..., float],
) -> None:
    tiles = np.kron(np.random.default_rng(1).integers(90, 100, (45, 80, 3)), np.ones((8, 8, 1))).astype(
        np.uint8
    )
    assert blockiness([tiles] * 3) > 1.5
    assert abs(blockiness([np.roll(tiles, 2, axis=(0, 1))] * 3)) < 0.2


def test_frames_of_a_few_pixels_have_no_blocks(blockiness: Callable[..., float]) -> None:
    assert math.isnan(blockiness([np.zeros((12, 40, 3), np.uint8)] * 3))
