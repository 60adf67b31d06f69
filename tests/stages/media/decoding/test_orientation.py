"""Tests of the eight orientations; the scan tests cover real display matrices."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from stages.media.decoding.orientation import MIRRORED, orientation_of, rotate_upright
from stages.media.decoding.video import frames

IMAGE = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ("rotation_deg", "mirrored", "displayed"),
    [
        (0, False, IMAGE),
        (90, False, np.rot90(IMAGE)),
        (-90, False, np.rot90(IMAGE, 3)),
        (180, False, IMAGE[::-1, ::-1]),
        (-180, True, IMAGE[:, ::-1]),
        (0, True, IMAGE[::-1]),
        (-(1 << 31), False, IMAGE),
    ],
)
def test_an_image_is_mirrored_and_rotated(rotation_deg: int, mirrored: bool, displayed: np.ndarray) -> None:
    orientation = orientation_of(rotation_deg, mirrored)
    assert (orientation >= MIRRORED) is mirrored
    assert rotate_upright(IMAGE, orientation).tolist() == displayed.tolist()


def test_a_video_of_photographs_is_rotated_by_its_exif_data(tmp_path: Path) -> None:
    """Orientation 6: a quarter turn clockwise."""
    entry = struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry
    photograph = np.zeros((48, 96, 3), np.uint8)
    photograph[:24] = 255
    jpeg = bytes(cv2.imencode(".jpg", photograph)[1])
    with_exif = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuvj420p"
        for number in range(3):
            packet = av.Packet(with_exif)
            packet.pts = packet.dts = number * 40
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1000), stream, True
            container.mux(packet)
    displayed = [frame.pixels("gray") for frame in frames(str(tmp_path / "film.mkv"))]
    assert len(displayed) == 3
    assert displayed[0].shape == (96, 48)
    assert displayed[0][:, 24:].min() > 200 > 50 > displayed[0][:, :24].max()


@pytest.mark.parametrize(("ending", "options"), [("jpg", {}), ("png", {}), ("webp", {"lossless": True})])
def test_the_exif_data_of_an_image_turn_it(tmp_path: Path, ending: str, options: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter turn clockwise
    exif[ExifTags.Base.Make] = "a camera"
    path = tmp_path / f"turned.{ending}"
    Image.new("RGB", (64, 32)).save(path, exif=exif, **options)
    assert [frame.display_size for frame in frames(str(path))] == [(32, 64)]
