"""Files are written as asked, are read as what they hold, and an encoder that is missing is named."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import ClipmillError
from stages.media.encoders import coding_of, one_of
from stages.media.mp4 import Coding, look, write_frames


def _pictures(times: list[int], lasts: list[int]) -> Iterator[av.VideoFrame]:
    for k, (at, last) in enumerate(zip(times, lasts, strict=True)):
        picture = av.VideoFrame.from_ndarray(np.full((96, 64), 10 * k, np.uint8), format="yuv420p")
        picture.pts, picture.duration = at, last
        yield picture


def test_what_it_holds_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert write_frames(path, _pictures([0, 1, 2], [1, 1, 1]), Fraction(25), Fraction(1, 25), Coding()) == 3
    assert look(path) == (64, 64, 3, Fraction(3, 25), "h264", "")


def test_times_and_lengths_that_vary_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    pictures = _pictures([0, 40, 240, 280], [40, 200, 40, 120])
    write_frames(path, pictures, Fraction(10), Fraction(1, 1000), Coding(options={"bf": "0"}))
    assert look(path).duration_s == Fraction(400, 1000)
    with av.open(str(path)) as film:
        assert [float(frame.pts * frame.time_base) for frame in film.decode(video=0)] == [0, 0.04, 0.24, 0.28]


def test_the_index_comes_first_and_no_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_frames(path, _pictures([0], [1]), Fraction(25), Fraction(1, 25), coding_of("x264", 18, "fast", 1))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"Lavf" not in data


def test_no_pictures_and_no_such_encoder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        write_frames(tmp_path / "a.mp4", [], Fraction(25), Fraction(1, 25), Coding())
    with pytest.raises(ClipmillError, match="libx266 does not open: this build of FFmpeg lacks it"):
        write_frames(
            tmp_path / "a.mp4", _pictures([0], [1]), Fraction(25), Fraction(1, 25), Coding("libx266")
        )
    with pytest.raises(ClipmillError, match="there is no preset 'x'") as caught:
        one_of("x", ("a", "b"), "preset")
    assert caught.value.remedy == "choose one of a, b"
