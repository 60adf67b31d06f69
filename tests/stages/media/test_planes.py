"""Planes: what a player shows, turned on the planes themselves, and left alone where nothing is due."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.decode import frames
from stages.media.encode import write_mp4
from stages.media.frame import Frame
from stages.media.planes import planar


def _raw(wide: int, high: int, layout: str = "yuv420p") -> av.VideoFrame:
    noise = np.random.default_rng(1).integers(0, 256, (high, wide, 3), np.uint8)
    return av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=layout)


def test_a_frame_that_is_right_is_not_touched() -> None:
    raw = _raw(64, 48)
    assert planar(Frame(0, 1, 0, raw), 64, 48) is raw


@pytest.mark.parametrize("turns", range(8))
def test_every_way_up(turns: int) -> None:
    raw = _raw(64, 48)
    wide, high = (48, 64) if turns % 2 else (64, 48)
    luma = planar(Frame(0, 1, turns, raw), wide, high).to_ndarray()[:high]
    coded = raw.to_ndarray()[:48]
    assert np.array_equal(luma, np.rot90(coded[:, ::-1] if turns >= 4 else coded, turns))


@pytest.mark.parametrize(
    ("size", "shown"), [((65, 49), (64, 48)), ((64, 49), (64, 48)), ((65, 48), (64, 48))]
)
def test_odd_sides_lose_a_line_and_nothing_else_changes(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    raw = _raw(*size)
    found = planar(Frame(0, 1, 0, raw), *size)
    assert (found.width, found.height) == shown
    stride = raw.planes[0].line_size
    luma = np.frombuffer(raw.planes[0], np.uint8).reshape(-1, stride)[:48, :64]
    assert np.array_equal(found.to_ndarray()[:48], luma)


@pytest.mark.parametrize("layout", ["yuv444p", "yuv422p10le", "bgra", "gray", "yuvj422p", "gbrp"])
def test_other_layouts_become_planes_of_bytes(layout: str) -> None:
    smooth = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    raw = av.VideoFrame.from_ndarray(smooth, format="rgb24").reformat(format=layout)
    found = planar(Frame(0, 1, 0, raw), 64, 48)
    assert found.format.name == ("yuvj420p" if layout.startswith("yuvj") else "yuv420p")
    apart = found.to_ndarray(format="rgb24").astype(int) - raw.to_ndarray(format="rgb24")
    assert np.abs(apart).mean() < 4


def test_the_result_may_be_encoded_again(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", (np.full((48, 64, 3), 40 * k, np.uint8) for k in range(5)), Fraction(25))
    shown = [planar(frame, 64, 48).to_ndarray().mean() for frame in frames(str(tmp_path / "a.mp4"))]
    assert shown == sorted(shown)
