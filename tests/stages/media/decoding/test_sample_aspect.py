"""Tests of streams whose size or pixel aspect changes midway."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stages.media.decoding.video import frames, open_video
from tests.toys.media.picture_formats import write_parts

_WIDE, _NARROW = Fraction(16, 15), Fraction(4, 5)  # 16:9 and 4:3, which MPEG-2 has codes for
_Moving = Callable[..., list[np.ndarray]]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "libx265"])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_frame_has_the_aspect_of_its_part(
    codec: str, threads: int, moving: _Moving, tmp_path: Path
) -> None:
    parts = [(moving(seed, 8), aspect) for seed, aspect in ((1, _WIDE), (2, _NARROW))]
    write_parts(tmp_path / "film.ts", parts, codec)
    with open_video(str(tmp_path / "film.ts"), threads) as video:
        aspects = [frame.sample_aspect for frame in video.frames()]
    assert aspects == [_WIDE] * 8 + [_NARROW] * 8


def test_a_span_after_the_change_has_its_own_aspect(moving: _Moving, tmp_path: Path) -> None:
    write_parts(tmp_path / "film.ts", [(moving(1, 8), _WIDE), (moving(2, 8), _NARROW)])
    pts = [frame.pts for frame in frames(str(tmp_path / "film.ts"))]
    assert {frame.sample_aspect for frame in frames(str(tmp_path / "film.ts"), pts[10])} == {_NARROW}


def test_each_frame_has_the_size_of_its_part(moving: _Moving, tmp_path: Path) -> None:
    parts = [(moving(1, 6), Fraction(1)), (moving(2, 6, size=(160, 96)), Fraction(1))]
    write_parts(tmp_path / "film.ts", parts)
    assert [frame.display_size for frame in frames(str(tmp_path / "film.ts"))] == [(160, 96)] * 6 + [
        (96, 160)
    ] * 6
