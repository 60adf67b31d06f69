"""Headers and times beyond all bounds are refused in words, before they cost memory."""

import errno
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from odd_films import write_odd

from stages.media.bounds import MOST_PX, check_size, most_ticks, step_too_long
from stages.media.container import raise_if_ours
from stages.media.decode import frames
from stages.media.errors import Unreadable

Draw = Callable[..., Iterator[np.ndarray]]


def header(**changed: Any) -> Any:
    sound = {"width": 8192, "height": 8192, "time_base": Fraction(1, 90000)}
    return SimpleNamespace(**{**sound, "sample_aspect_ratio": Fraction(2), **changed})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"width": 65535, "height": 65535}, "pictures are too large: 65535 x 65535 px"),
        ({"width": 0}, "no size"),
        ({"time_base": None}, "no time base"),
        ({"sample_aspect_ratio": Fraction(17)}, "a pixel is 17 times as wide as high"),
        ({"sample_aspect_ratio": Fraction(1, 20)}, "a pixel is 0.05 times"),
    ],
)
def test_an_absurd_header_is_refused(changed: dict[str, Any], reason: str) -> None:
    check_size(header())
    check_size(header(sample_aspect_ratio=None))
    with pytest.raises(Unreadable, match=reason):
        check_size(header(**changed))


def test_steps_are_counted_in_ticks() -> None:
    assert most_ticks(Fraction(1, 90000)) == 3600 * 90000
    assert most_ticks(Fraction(1 << 31)) == 0
    assert "at 0:01.0 is followed by nothing before 2:00:00.0" in str(step_too_long(1, 7200, Fraction(1)))


def test_a_picture_larger_than_its_header_says_costs_no_memory(tmp_path: Path, moving: Draw) -> None:
    """FFmpeg by itself takes 770 MB, and then finds that the data are too short for the picture."""
    path, side = tmp_path / "film.avi", 16000
    write_odd(path, moving(1, 3), "png", "rgb24")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"IHDR") + 4  # of the last frame
    data[at : at + 8] = side.to_bytes(4, "big") * 2
    data[at + 13 : at + 17] = zlib.crc32(data[at - 4 : at + 13]).to_bytes(4, "big")
    path.write_bytes(data)
    assert side * side > MOST_PX
    with pytest.raises(Unreadable, match=r"decoding failed after 0:00\.0: Invalid argument"):
        list(frames(str(path)))


def test_a_length_beyond_all_memory_is_damage(tmp_path: Path, moving: Draw) -> None:
    """FFmpeg says that it cannot allocate memory."""
    path = tmp_path / "film.ivf"
    write_odd(path, moving(1, 5), "libvpx")
    data = bytearray(path.read_bytes())
    second = 32 + 12 + int.from_bytes(data[32:36], "little")  # the header, and the first frame with its own
    data[second : second + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="claims to be larger than all memory"):
        list(frames(str(path)))


def test_a_want_of_memory_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = OSError(errno.ENOMEM, "Cannot allocate memory")
    monkeypatch.setattr("stages.media.container._SOME_BYTES", 1 << 62)
    with pytest.raises(OSError, match="Cannot allocate"):
        raise_if_ours(refused)
