"""Tests of color tags, matrices of untagged frames, and tone mapping against the standards."""

from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.decoding.color import (
    bit_depth,
    color_tags,
    compress_highlights,
    hlg_to_light,
    is_hdr,
    light_to_pq,
    pq_to_light,
)
from stages.media.decoding.frame import Frame
from stages.media.decoding.video import frames
from tests.toys.media.color_films import KINDS, PATCHES, patch_colors, write_patches


def test_pq_is_st_2084() -> None:
    known = {0.0: 0.0, 0.508078: 100, 0.580689: 203, 0.751827: 1000, 1.0: 10000}  # BT.2408, table 1
    assert pq_to_light(np.array(list(known))) == pytest.approx(list(known.values()), rel=1e-4)
    signal = np.linspace(0, 1, 101)
    assert light_to_pq(pq_to_light(signal)) == pytest.approx(signal, abs=1e-6)


def test_hlg_is_bt_2100() -> None:
    known = {0.0: 0.0, 0.5: 1 / 12, 0.75: 0.26496, 1.0: 1.0}
    assert hlg_to_light(np.array(list(known))) == pytest.approx(list(known.values()), abs=1e-4)


def test_highlights_are_compressed_and_the_rest_stays() -> None:
    light = np.linspace(0, 1200, 600)
    mapped = compress_highlights(light, 1000.0)
    assert mapped[light < 85] == pytest.approx(light[light < 85], rel=1e-6, abs=1e-3)
    assert (np.diff(mapped) >= -1e-9).all()
    assert mapped[light >= 1000] == pytest.approx(203, rel=1e-6)
    assert 130 < compress_highlights(np.array([203.0]), 1000.0)[0] < 203


@pytest.mark.parametrize("kind", KINDS)
def test_colors_are_those_of_the_scene(kind: str, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", kind, frames=1)
    [frame] = frames(str(tmp_path / "film.mp4"))
    error = patch_colors(frame.pixels()) - PATCHES
    assert np.abs(error).max() <= (8 if "hlg" in kind or "pq" in kind else 4), error
    small = patch_colors(frame.pixels("bgr24", 96, 54)[..., ::-1])
    assert np.abs(small - PATCHES).max() <= 8
    assert is_hdr(frame.raw) == kind.endswith(("pq", "hlg"))
    assert bit_depth(frame.raw) == (10 if kind.startswith("bt2020") else 8)


def test_full_range_frames(tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt709", frames=1, full_range=True)
    [frame] = frames(str(tmp_path / "film.mp4"))
    assert np.abs(patch_colors(frame.pixels()) - PATCHES).max() <= 4
    assert color_tags(frame.raw).color_range == "pc"


def test_luma_of_hdr_is_tone_mapped(tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt2020_pq", frames=1)
    [frame] = frames(str(tmp_path / "film.mp4"))
    gray = frame.luma()[48, frame.raw.width * 9 // 12]
    assert abs(int(gray) - 128) <= 2


def test_tags_have_the_names_of_ffprobe(tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt2020_hlg", frames=1)
    [frame] = frames(str(tmp_path / "film.mp4"))
    assert color_tags(frame.raw) == ("arib-std-b67", "bt2020", "bt2020nc", "tv")
    assert color_tags(av.VideoFrame(16, 16, "yuv420p")) == ("unknown", "unknown", "unknown", "unknown")


@pytest.mark.parametrize("orientation", [1, 4])
def test_hdr_frames_are_turned_upright(orientation: int, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt2020_pq", frames=1)
    [frame] = frames(str(tmp_path / "film.mp4"))
    turned = Frame(0, 1, orientation, frame.raw)
    expected = np.rot90(frame.pixels()) if orientation == 1 else frame.pixels()[:, ::-1]
    assert np.array_equal(turned.pixels(), expected)
