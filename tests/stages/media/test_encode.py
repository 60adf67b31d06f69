"""What is written can be read again, and the same frames give the same bytes."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from stages.media.decode import frames
from stages.media.encode import write_mp4

Draw = Callable[..., Iterator[np.ndarray]]


def test_the_same_frames_give_the_same_bytes_in_a_file_and_in_memory(tmp_path: Path, moving: Draw) -> None:
    written = []
    for k in range(2):
        memory = BytesIO()
        assert write_mp4(memory, moving(1, 20, step=(2, 0)), 25) == 20
        write_mp4(tmp_path / f"{k}.mp4", moving(1, 20, step=(2, 0)), 25)
        written += [memory.getvalue(), (tmp_path / f"{k}.mp4").read_bytes()]
    assert len(set(written)) == 1
    assert written[0].index(b"moov") < written[0].index(b"mdat")


def test_the_picture_survives(tmp_path: Path, moving: Draw) -> None:
    drawn = list(moving(2, 5))
    write_mp4(tmp_path / "a.mp4", drawn, 25, crf=10)
    for frame, picture in zip(frames(str(tmp_path / "a.mp4")), drawn, strict=True):
        assert np.abs(frame.pixels().astype(int) - picture).mean() < 9


def test_odd_sides_lose_a_line_and_wrong_sizes_are_refused(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", [np.zeros((35, 49, 3), np.uint8)] * 3, 25)
    assert next(frames(str(tmp_path / "a.mp4"))).pixels().shape == (34, 48, 3)
    with pytest.raises(ValueError, match="frame 1 is"):
        write_mp4(tmp_path / "b.mp4", [np.zeros((n, 32, 3), np.uint8) for n in (32, 64)], 25)
    with pytest.raises(ValueError, match="no frames"):
        write_mp4(BytesIO(), [], 25)
