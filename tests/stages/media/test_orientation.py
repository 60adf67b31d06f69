"""The eight ways to show a picture; real display matrices are tested with the scan."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stages.media.decode import frames
from stages.media.orientation import MIRRORED, turns_of, upright

PICTURE = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ("rotation_deg", "mirrored", "shown"),
    [
        (0, False, PICTURE),
        (90, False, np.rot90(PICTURE)),
        (-90, False, np.rot90(PICTURE, 3)),
        (180, False, PICTURE[::-1, ::-1]),
        (-180, True, PICTURE[:, ::-1]),
        (0, True, PICTURE[::-1]),
        (-(1 << 31), False, PICTURE),
    ],
)
def test_a_picture_is_mirrored_and_turned(rotation_deg: int, mirrored: bool, shown: np.ndarray) -> None:
    turns = turns_of(rotation_deg, mirrored)
    assert (turns >= MIRRORED) is mirrored
    assert upright(PICTURE, turns).tolist() == shown.tolist()


def test_a_film_of_photographs_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    """Orientation 6: a quarter turn clockwise."""
    entry = struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry
    photograph = np.zeros((48, 96, 3), np.uint8)
    photograph[:24] = 255
    jpeg = bytes(cv2.imencode(".jpg", photograph)[1])
    told = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuvj420p"
        for number in range(3):
            packet = av.Packet(told)
            packet.pts = packet.dts = number * 40
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1000), stream, True
            container.mux(packet)
    shown = [frame.pixels("gray") for frame in frames(str(tmp_path / "film.mkv"))]
    assert len(shown) == 3
    assert shown[0].shape == (96, 48)
    assert shown[0][:, 24:].min() > 200 > 50 > shown[0][:, :24].max()
