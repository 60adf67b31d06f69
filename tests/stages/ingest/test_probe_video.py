"""Tests of ProbeVideo: display sizes and times of videos, and the reasons of rejects."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unusual_videos import with_display_matrix

from pipeline import Reject
from stages.ingest.probe_video import Header, ProbeVideo, Video

Draw = Callable[..., Iterator[np.ndarray]]


def _probe(path: Path) -> Header:
    [answer] = ProbeVideo().annotate([Video(uri=str(path))])
    if isinstance(answer, Reject):
        raise answer
    return answer


def test_the_header_matches_the_written_file(film: Callable[..., Path], moving: Draw) -> None:
    header = _probe(film(moving(1, 50), fps=Fraction(25)))
    assert (header.container, header.codec, header.has_audio) == ("mov", "h264", False)
    assert (header.video_width_px, header.video_height_px, header.rotation_deg) == (160, 96, 0)
    assert (header.fps, header.video_duration_s) == (25.0, 2.0)
    assert Fraction(header.time_base_num, header.time_base_den) == Fraction(1, 12800)


@pytest.mark.parametrize(
    ("name", "displayed", "coded", "rotation_deg"),
    [
        ("odd/decord__video_90.mov", (320, 568), (568, 320), 90),
        ("odd/decord__video_180.mov", (568, 320), (568, 320), 180),
        ("odd/decord__video_270.mov", (320, 568), (568, 320), 270),
        ("natural/psd__issue-195-aspect-ratio.mp4", (1024, 576), (704, 576), 0),
        ("odd/imageio__newtonscradle.gif", (200, 150), (200, 150), 0),
    ],
)
def test_sizes_are_display_sizes(
    footage: Path, name: str, displayed: tuple[int, int], coded: tuple[int, int], rotation_deg: int
) -> None:
    header = _probe(footage / name)
    assert (header.video_width_px, header.video_height_px) == displayed
    assert (header.coded_width_px, header.coded_height_px) == coded
    assert header.rotation_deg == rotation_deg


@pytest.mark.parametrize(
    ("matrix", "rotation_deg", "mirrored"),
    [
        ((1, 0, 0, 1), 0, False),
        ((-1, 0, 0, 1), 0, True),
        ((1, 0, 0, -1), 180, True),
        ((0, 1, -1, 0), 90, False),
    ],
)
def test_mirrored_frames_differ_from_half_turns(
    film: Callable[..., Path],
    moving: Draw,
    matrix: tuple[int, int, int, int],
    rotation_deg: int,
    mirrored: bool,
) -> None:
    path = film(moving(1, 3))
    path.write_bytes(with_display_matrix(path.read_bytes(), *matrix))
    header = _probe(path)
    assert (header.rotation_deg, header.mirrored) == (rotation_deg, mirrored)


def test_a_rejected_row_does_not_affect_the_next(
    tmp_path: Path, film: Callable[..., Path], moving: Draw
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("words")
    good = film(moving(1, 5))
    paths = [tmp_path / "empty.mp4", good, tmp_path / "text.mp4", tmp_path / "gone.mp4", good]
    answers = list(ProbeVideo().annotate([Video(uri=str(path)) for path in paths]))
    assert [isinstance(a, Reject) for a in answers] == [True, False, True, True, False]
    assert [str(answers[k]) for k in (0, 2, 3)] == [
        "the file is empty", "not a video: the file holds text", "the file does not exist",
    ]  # fmt: skip
