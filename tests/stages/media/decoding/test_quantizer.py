"""Tests of the quantizer step: larger at lower bit rates, NaN for codecs that do not export it."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.media.decoding.quantizer import jpeg_quantizer_step, mean_quantizer_step
from stages.media.decoding.video import frames

Draw = Callable[..., Iterator[np.ndarray]]


def _steps(path: Path) -> list[float]:
    return [mean_quantizer_step(frame.raw) for frame in frames(str(path))]


def test_the_step_doubles_every_six_quantizers(film: Callable[..., Path], moving: Draw) -> None:
    pictures = list(moving(2, 8, size=(180, 320), step=(2, 1)))
    fine, coarse = (np.median(_steps(film(pictures, f"{crf}.mp4", crf=crf))) for crf in (20, 38))
    assert coarse / fine == pytest.approx(8, rel=0.5)
    assert 2 < fine < 16


@pytest.mark.parametrize(
    ("name", "min_step", "max_step"),
    [
        ("odd/mmaction2__test.avi", 16, 28),  # MPEG-4, quantizer 8 and 14
        ("odd/psd__fades.mp4", 8, 8),  # MPEG-4, quantizer 4
        ("odd/torchcodec__h264_10bits.mp4", 10, 25),  # crf 23 of 10 bits
    ],
)
def test_codecs_and_bit_depths_have_their_scales(
    footage: Path, name: str, min_step: float, max_step: float
) -> None:
    assert min_step <= np.nanmedian(_steps(footage / name)) <= max_step


def test_the_table_of_a_jpeg_is_its_step() -> None:
    image = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
    jpegs = {
        q: cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, q])[1].tobytes() for q in (50, 100, 20)
    }
    steps = {quality: jpeg_quantizer_step(jpeg) for quality, jpeg in jpegs.items()}
    assert steps[100] == 1
    assert steps[50] == pytest.approx(13, abs=1)  # table K.1 of the standard
    assert steps[20] == pytest.approx(2.5 * steps[50], rel=0.05)
    assert math.isnan(jpeg_quantizer_step(jpegs[50][:20]))
    assert math.isnan(jpeg_quantizer_step(b""))


def test_other_codecs_give_nan(footage: Path) -> None:
    for name in ("odd/mdnie__flower.webm", "odd/torchcodec__av1_video.mkv", "odd/tfio__cradle.gif"):
        assert math.isnan(_steps(footage / name)[0])
