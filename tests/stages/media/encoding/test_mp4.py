"""Tests of mp4 files: written times and durations, the content of the file, and missing encoders."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import ClipmillError
from stages.media.encoding.encoders import check_choice, encoder_settings
from stages.media.encoding.mp4 import EncoderSettings, read_mp4_info, write_frames


def _frames(times: list[int], durations: list[int]) -> Iterator[av.VideoFrame]:
    for k, (pts, duration) in enumerate(zip(times, durations, strict=True)):
        frame = av.VideoFrame.from_ndarray(np.full((96, 64), 10 * k, np.uint8), format="yuv420p")
        frame.pts, frame.duration = pts, duration
        yield frame


def test_the_info_matches_the_written_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert (
        write_frames(path, _frames([0, 1, 2], [1, 1, 1]), Fraction(25), Fraction(1, 25), EncoderSettings())
        == 3
    )
    assert read_mp4_info(path) == (64, 64, 3, Fraction(3, 25), "h264", 8, "unknown", "")


def test_variable_times_and_durations_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = _frames([0, 40, 240, 280], [40, 200, 40, 120])
    write_frames(path, frames, Fraction(10), Fraction(1, 1000), EncoderSettings(options={"bf": "0"}))
    assert read_mp4_info(path).duration_s == Fraction(400, 1000)
    with av.open(str(path)) as film:
        assert [float(frame.pts * frame.time_base) for frame in film.decode(video=0)] == [0, 0.04, 0.24, 0.28]


def test_the_index_comes_first_and_the_file_contains_no_version(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_frames(
        path, _frames([0], [1]), Fraction(25), Fraction(1, 25), encoder_settings("x264", 18, "fast", 1)
    )
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"Lavf" not in data


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_hevc_file_of_few_frames_has_their_times(count: int, tmp_path: Path) -> None:
    path, settings = tmp_path / "a.mp4", encoder_settings("x265", 18, "ultrafast", 1)
    for _ in range(6):
        write_frames(path, _frames([*range(count)], [1] * count), Fraction(25), Fraction(1, 25), settings)
        with av.open(str(path)) as film:
            times = [frame.pts * frame.time_base for frame in film.decode(video=0)]
        assert [time - times[0] for time in times] == [Fraction(k, 25) for k in range(count)]


def test_no_frames_and_unknown_encoders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        write_frames(tmp_path / "a.mp4", [], Fraction(25), Fraction(1, 25), EncoderSettings())
    with pytest.raises(
        ClipmillError, match="libx266 cannot be opened: this build of FFmpeg does not have it"
    ):
        write_frames(
            tmp_path / "a.mp4", _frames([0], [1]), Fraction(25), Fraction(1, 25), EncoderSettings("libx266")
        )
    with pytest.raises(ClipmillError, match="there is no preset 'x'") as caught:
        check_choice("x", ("a", "b"), "preset")
    assert caught.value.remedy == "choose one of a, b"
