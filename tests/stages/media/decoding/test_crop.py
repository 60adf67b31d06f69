"""Tests of the crop of containers: Matroska, mp4 and mov, with pixel aspect and rotation, and damaged."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from stages.media.decoding.crop import NO_CROP, Crop, read_crop
from stages.media.decoding.frame import Frame
from stages.media.decoding.video import frames, open_video
from tests.toys.media.picture_formats import with_clean_aperture, with_pixel_crop
from tests.toys.media.unusual_videos import with_display_matrix, write_video

_MATROSKA, _MP4 = "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"


def _padded() -> list[np.ndarray]:
    """Gray frames of 96 x 64 px whose middle of 64 x 32 px is shown: red at the left, blue at the right."""
    image = np.full((64, 96, 3), 128, np.uint8)
    image[16:48, 16:48], image[16:48, 48:80] = (200, 30, 30), (30, 30, 200)
    return [image] * 3


@pytest.fixture
def mkv(tmp_path: Path) -> bytes:
    write_video(tmp_path / "source.mkv", _padded())
    return (tmp_path / "source.mkv").read_bytes()


@pytest.fixture
def mp4(tmp_path: Path) -> bytes:
    write_video(tmp_path / "source.mp4", _padded())
    return (tmp_path / "source.mp4").read_bytes()


def _first(path: Path, data: bytes) -> Frame:
    path.write_bytes(data)
    shown = list(frames(str(path)))
    assert [frame.display_size for frame in shown] == [shown[0].display_size] * 3
    return shown[0]


def _check_sides(image: np.ndarray, *, at_top: bool = False) -> None:
    """Check that the shown part is red, then blue, without gray."""
    image = image.transpose(1, 0, 2) if at_top else image
    width = image.shape[1]
    assert np.abs(image[2:-2, 2 : width // 2 - 4].astype(int) - (200, 30, 30)).mean() < 12
    assert np.abs(image[2:-2, width // 2 + 4 : -2].astype(int) - (30, 30, 200)).mean() < 12


def test_matroska(mkv: bytes, tmp_path: Path) -> None:
    frame = _first(tmp_path / "a.mkv", with_pixel_crop(mkv, 16, 16, 16, 16))
    assert frame.display_size == (64, 32)
    _check_sides(frame.pixels())
    with open_video(str(tmp_path / "a.mkv")) as video:
        assert (video.coded_width_px, video.coded_height_px, video.cropped_size) == (96, 64, (64, 32))


def test_matroska_with_pixel_aspect(mkv: bytes, tmp_path: Path) -> None:
    frame = _first(tmp_path / "a.mkv", with_pixel_crop(mkv, 16, 16, 16, 16, display=(128, 32)))
    assert (frame.display_size, frame.sample_aspect) == ((128, 32), Fraction(2))
    _check_sides(frame.pixels("rgb24", *frame.display_size))


def test_odd_sides_are_exact(mkv: bytes, tmp_path: Path) -> None:
    frame = _first(tmp_path / "a.mkv", with_pixel_crop(mkv, 17, 15, 16, 17))
    assert frame.display_size == (64, 31)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_clean_aperture(name: str, mp4: bytes, tmp_path: Path) -> None:
    frame = _first(tmp_path / name, with_clean_aperture(mp4, 64, 32))
    assert (frame.display_size, frame.sample_aspect) == ((64, 32), Fraction(1))
    _check_sides(frame.pixels())


def test_clean_aperture_beside_the_middle(mp4: bytes, tmp_path: Path) -> None:
    frame = _first(tmp_path / "a.mp4", with_clean_aperture(mp4, 32, 16, right=-16, down=8))
    assert np.abs(frame.pixels()[2:-2, 2:-4].astype(int) - (200, 30, 30)).mean() < 12


def test_clean_aperture_with_rotation(mp4: bytes, tmp_path: Path) -> None:
    turned = with_display_matrix(with_clean_aperture(mp4, 64, 32), 0, 1, -1, 0)
    frame = _first(tmp_path / "a.mp4", turned)
    assert frame.display_size == (32, 64)
    _check_sides(frame.pixels(), at_top=True)


def test_a_span_of_a_cropped_film_is_cropped(mkv: bytes, tmp_path: Path) -> None:
    _first(tmp_path / "a.mkv", with_pixel_crop(mkv, 16, 16, 16, 16))
    [frame] = frames(str(tmp_path / "a.mkv"), 80)
    _check_sides(frame.pixels())


def test_a_crop_that_does_not_fit_is_ignored(mkv: bytes, tmp_path: Path) -> None:
    assert _first(tmp_path / "a.mkv", with_pixel_crop(mkv, 0, 0, 0, 0)).display_size == (96, 64)
    assert not Crop(50, 46, 0, 0).fits(96, 64)
    assert not Crop(-1, 0, 0, 0).fits(96, 64)


def test_damaged_files_have_no_crop(mkv: bytes, mp4: bytes) -> None:
    rng = np.random.default_rng(1)
    cropped = {_MATROSKA: with_pixel_crop(mkv, 16, 16, 16, 16), _MP4: with_clean_aperture(mp4, 64, 32)}
    for name, data in cropped.items():
        assert read_crop(BytesIO(data), name, 0)[:4] == (16, 16, 16, 16)
        assert read_crop(BytesIO(data), name, 1) == NO_CROP
        for _ in range(300):
            damaged = np.frombuffer(data, np.uint8).copy()
            places = rng.integers(0, len(data), 8)
            damaged[places] = rng.integers(0, 256, 8)
            assert isinstance(
                read_crop(BytesIO(damaged.tobytes()[: rng.integers(1, len(data))]), name, 0), Crop
            )


def test_other_containers_have_no_crop() -> None:
    assert read_crop(BytesIO(b"RIFF"), "avi", 0) == NO_CROP


def test_the_aspect_of_a_track_with_another_display_size(mp4: bytes) -> None:
    data = bytearray(with_clean_aperture(mp4, 64, 32))
    at = data.index(b"tkhd") + 80
    data[at : at + 4] = (128 << 16).to_bytes(4, "big")
    assert read_crop(BytesIO(bytes(data)), _MP4, 0).sample_aspect == Fraction(2)
