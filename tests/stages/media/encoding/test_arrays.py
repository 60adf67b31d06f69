"""Tests of the mp4 encoder for arrays: files can be decoded, and the same frames give the same bytes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from stages.media.decoding.video import frames
from stages.media.encoding.arrays import write_mp4

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


def test_frames_survive_encoding(tmp_path: Path, moving: Draw) -> None:
    drawn = list(moving(2, 5))
    write_mp4(tmp_path / "a.mp4", drawn, 25, crf=10)
    for frame, image in zip(frames(str(tmp_path / "a.mp4")), drawn, strict=True):
        assert np.abs(frame.pixels().astype(int) - image).mean() < 9


def test_odd_sides_lose_a_line_and_different_sizes_are_an_error(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", [np.zeros((35, 49, 3), np.uint8)] * 3, 25)
    assert next(frames(str(tmp_path / "a.mp4"))).pixels().shape == (34, 48, 3)
    with pytest.raises(ValueError, match="frame 1 is"):
        write_mp4(tmp_path / "b.mp4", [np.zeros((n, 32, 3), np.uint8) for n in (32, 64)], 25)
    with pytest.raises(ValueError, match="no frames"):
        write_mp4(BytesIO(), [], 25)


def test_bytes_do_not_depend_on_uninitialized_memory() -> None:
    """Run in processes that fill allocated memory with different values; 360 px once gave other bytes."""
    code = (
        "import sys, hashlib, io, numpy as np;"
        "from stages.media.encoding.arrays import write_mp4;"
        "y, x = np.mgrid[0:640, 0:360];"
        "planes = [[x + 3 * t, y * x // 64 + t, y - 2 * t] for t in range(40)];"
        "shots = [(np.stack(p, -1) % 256).astype(np.uint8) for p in planes];"
        "out = io.BytesIO(); write_mp4(out, shots, 24, crf=18, preset='veryfast');"
        "print(hashlib.sha256(out.getvalue()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "MALLOC_PERTURB_": fill},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for fill in ("0", "17", "170")
    }
    assert len(seen) == 1
