"""Tests of the conversion to upright yuv420p planes, and of frames that need no conversion."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.decoding.frame import Frame
from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import frames
from stages.media.encoding.arrays import write_mp4


def _raw(width: int, height: int, layout: str = "yuv420p") -> av.VideoFrame:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=layout)


def test_a_frame_that_needs_no_conversion_is_returned_unchanged() -> None:
    raw = _raw(64, 48)
    assert to_yuv420p(Frame(0, 1, 0, raw), 64, 48) is raw


@pytest.mark.parametrize("orientation", range(8))
def test_every_orientation(orientation: int) -> None:
    raw = _raw(64, 48)
    width, height = (48, 64) if orientation % 2 else (64, 48)
    luma = to_yuv420p(Frame(0, 1, orientation, raw), width, height).to_ndarray()[:height]
    coded = raw.to_ndarray()[:48]
    assert np.array_equal(luma, np.rot90(coded[:, ::-1] if orientation >= 4 else coded, orientation))


@pytest.mark.parametrize(
    ("size", "shown"), [((65, 49), (64, 48)), ((64, 49), (64, 48)), ((65, 48), (64, 48))]
)
def test_odd_sides_lose_a_line_and_other_pixels_stay_unchanged(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    raw = _raw(*size)
    found = to_yuv420p(Frame(0, 1, 0, raw), *size)
    assert (found.width, found.height) == shown
    stride = raw.planes[0].line_size
    luma = np.frombuffer(raw.planes[0], np.uint8).reshape(-1, stride)[:48, :64]
    assert np.array_equal(found.to_ndarray()[:48], luma)


@pytest.mark.parametrize("layout", ["yuv444p", "yuv422p10le", "bgra", "gray", "yuvj422p", "gbrp"])
def test_other_layouts_are_converted_to_8_bit_planes(layout: str) -> None:
    smooth = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    raw = av.VideoFrame.from_ndarray(smooth, format="rgb24").reformat(format=layout)
    found = to_yuv420p(Frame(0, 1, 0, raw), 64, 48)
    assert found.format.name == ("yuvj420p" if layout.startswith("yuvj") else "yuv420p")
    difference = found.to_ndarray(format="rgb24").astype(int) - raw.to_ndarray(format="rgb24")
    assert np.abs(difference).mean() < 4


def test_decoded_frames_can_be_converted(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", (np.full((48, 64, 3), 40 * k, np.uint8) for k in range(5)), Fraction(25))
    shown = [to_yuv420p(frame, 64, 48).to_ndarray().mean() for frame in frames(str(tmp_path / "a.mp4"))]
    assert shown == sorted(shown)
