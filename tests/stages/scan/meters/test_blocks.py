"""Blockiness rises as the codec gets fewer bits; blur, noise and darkness do not raise it."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture
def blockiness(film: Callable[..., Path], scan: Callable[..., ScannedVideo]) -> Callable[..., float]:
    def measure(frames: list[np.ndarray], crf: int = 16) -> float:
        scanned = scan(film(frames, crf=crf), meters=("blocks",), stills_per_s=24.0)
        return float(np.median(read_signals(scanned.signals, ["blockiness"])["blockiness"]))

    return measure


@pytest.mark.parametrize("size", [(180, 320), (360, 640), (718, 1278)])
def test_blockiness_rises_with_lower_bit_rate(
    blockiness: Callable[..., float], moving: Draw, size: tuple[int, int]
) -> None:
    frames = list(moving(2, 12, size=size, step=(2, 1)))
    values = [blockiness(frames, crf) for crf in (16, 34, 42, 48)]
    assert max(values[:2]) < 0.1
    assert values[1] < values[2] < values[3]
    assert values[2] > 0.12
    assert values[3] > 0.3


def test_other_defects_do_not_raise_blockiness(blockiness: Callable[..., float], moving: Draw) -> None:
    good, rng = list(moving(2, 12, size=(360, 640), step=(2, 1))), np.random.default_rng(1)
    defects = {
        "blurred": [cv2.GaussianBlur(p, (0, 0), 5) for p in good],
        "dark": [(p * 0.2).astype(np.uint8) for p in good],
        "noisy": [np.clip(p + rng.normal(0, 12, p.shape), 0, 255).astype(np.uint8) for p in good],
        "letterboxed": [cv2.copyMakeBorder(p[40:-40], 40, 40, 0, 0, cv2.BORDER_CONSTANT) for p in good],
    }
    assert {name for name, frames in defects.items() if blockiness(frames) > 0.2} == set()


def test_a_grid_in_the_content_counts_only_where_it_matches_the_codec_grid(
    blockiness: Callable[..., float],
) -> None:
    tiles = np.kron(np.random.default_rng(1).integers(90, 100, (45, 80, 3)), np.ones((8, 8, 1))).astype(
        np.uint8
    )
    assert blockiness([tiles] * 3) > 1.5
    assert abs(blockiness([np.roll(tiles, 2, axis=(0, 1))] * 3)) < 0.2


def test_frames_smaller_than_two_blocks_are_nan(blockiness: Callable[..., float]) -> None:
    assert math.isnan(blockiness([np.zeros((12, 40, 3), np.uint8)] * 3))
