"""Tests of limits: absurd headers and times are rejected before they cost memory."""

import errno
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from unusual_videos import write_video

from stages.media.decoding.container import raise_machine_error
from stages.media.decoding.limits import MAX_PIXELS, check_frame_size
from stages.media.decoding.video import frames
from stages.media.errors import UnreadableFile

Draw = Callable[..., Iterator[np.ndarray]]


def header(**changed: Any) -> Any:
    valid = {"width": 8192, "height": 8192, "time_base": Fraction(1, 90000)}
    return SimpleNamespace(**{**valid, "sample_aspect_ratio": Fraction(2), **changed})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"width": 65535, "height": 65535}, "frames are too large: 65535 x 65535 px"),
        ({"width": 0}, "no size"),
        ({"time_base": None}, "no time base"),
        ({"sample_aspect_ratio": Fraction(17)}, "a pixel is 17 times as wide as high"),
        ({"sample_aspect_ratio": Fraction(1, 20)}, "a pixel is 0.05 times"),
    ],
)
def test_an_absurd_header_is_an_error(changed: dict[str, Any], reason: str) -> None:
    check_frame_size(header())
    check_frame_size(header(sample_aspect_ratio=None))
    with pytest.raises(UnreadableFile, match=reason):
        check_frame_size(header(**changed))


def test_a_frame_larger_than_its_header_costs_no_memory(tmp_path: Path, moving: Draw) -> None:
    """Without the limit FFmpeg takes 770 MB before it finds that the data are too short."""
    path, side = tmp_path / "film.avi", 16000
    write_video(path, moving(1, 3), "png", "rgb24")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"IHDR") + 4  # in the last frame
    data[at : at + 8] = side.to_bytes(4, "big") * 2
    data[at + 13 : at + 17] = zlib.crc32(data[at - 4 : at + 13]).to_bytes(4, "big")
    path.write_bytes(data)
    assert side * side > MAX_PIXELS
    with pytest.raises(UnreadableFile, match=r"decoding failed after 0:00\.0: Invalid argument"):
        list(frames(str(path)))


def test_a_length_beyond_the_memory_means_damage(tmp_path: Path, moving: Draw) -> None:
    """FFmpeg reports that it cannot allocate memory."""
    path = tmp_path / "film.ivf"
    write_video(path, moving(1, 5), "libvpx")
    data = bytearray(path.read_bytes())
    second = (
        32 + 12 + int.from_bytes(data[32:36], "little")
    )  # the file header, and the first frame with its header
    data[second : second + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match="claims to be larger than the memory of this machine"):
        list(frames(str(path)))


def test_an_out_of_memory_error_is_not_the_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.ENOMEM, "Cannot allocate memory")
    monkeypatch.setattr("stages.media.decoding.container._TEST_ALLOCATION_BYTES", 1 << 62)
    with pytest.raises(OSError, match="Cannot allocate"):
        raise_machine_error(error)
