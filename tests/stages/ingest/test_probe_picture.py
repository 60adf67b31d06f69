"""Tests of the columns of `ProbeVideo` on colors, bit depth and displayed size."""

from pathlib import Path

import numpy as np
import pytest

from stages.ingest.probe_video import Header, ProbeVideo, Video
from tests.toys.media.color_films import write_patches
from tests.toys.media.picture_formats import with_clean_aperture, with_pixel_crop
from tests.toys.media.unusual_videos import with_display_matrix, write_video


def _probe(path: Path) -> Header:
    [header] = ProbeVideo().annotate([Video(uri=str(path))])
    assert isinstance(header, Header), header
    return header


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bt709", (8, "bt709", "bt709", "bt709", "tv", False)),
        ("bt601", (8, "smpte170m", "smpte170m", "smpte170m", "tv", False)),
        ("bt601_untagged", (8, "unknown", "unknown", "unknown", "unknown", False)),
        ("bt2020_pq", (10, "smpte2084", "bt2020", "bt2020nc", "tv", True)),
        ("bt2020_hlg", (10, "arib-std-b67", "bt2020", "bt2020nc", "tv", True)),
    ],
)
def test_colors(kind: str, expected: tuple[object, ...], tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", kind, frames=1)
    header = _probe(tmp_path / "film.mp4")
    names = ("bit_depth", "color_transfer", "color_primaries", "color_space", "color_range", "is_hdr")
    assert tuple(getattr(header, name) for name in names) == expected


def test_sizes_with_a_crop(tmp_path: Path) -> None:
    write_video(tmp_path / "source.mkv", [np.zeros((64, 96, 3), np.uint8)] * 2)
    data = (tmp_path / "source.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(with_pixel_crop(data, 16, 16, 16, 16, display=(128, 32)))
    header = _probe(tmp_path / "a.mkv")
    assert (header.video_width_px, header.video_height_px) == (128, 32)
    assert (header.coded_width_px, header.coded_height_px) == (96, 64)


def test_sizes_with_a_crop_and_a_rotation(tmp_path: Path) -> None:
    write_video(tmp_path / "source.mp4", [np.zeros((64, 96, 3), np.uint8)] * 2)
    data = with_clean_aperture((tmp_path / "source.mp4").read_bytes(), 64, 32)
    (tmp_path / "a.mp4").write_bytes(with_display_matrix(data, 0, 1, -1, 0))
    header = _probe(tmp_path / "a.mp4")
    assert (header.video_width_px, header.video_height_px, header.rotation_deg) == (32, 64, 90)


def test_a_real_hlg_film(footage: Path) -> None:
    film = footage / "single_more/ax__hlg10-color-test.mp4"
    if not film.is_file():
        pytest.skip(f"no {film.name} in the footage")
    header = _probe(film)
    assert (header.bit_depth, header.color_transfer, header.is_hdr) == (10, "arib-std-b67", True)
