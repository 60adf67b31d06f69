"""Tests of the fingerprint, which identifies a file and detects changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.media.fingerprint import SAMPLE_BYTES, SAMPLES, fingerprint


def test_every_byte_of_a_small_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "a b'\n.mp4"
    file.write_bytes(bytes(1000))
    first = fingerprint(str(file))
    assert first[0] == 1000
    for position in (0, 500, 999):
        changed = bytearray(1000)
        changed[position] = 1
        file.write_bytes(changed)
        assert fingerprint(str(file))[1] != first[1]


@pytest.mark.parametrize("position", [0, SAMPLE_BYTES - 1, -1, -SAMPLE_BYTES])
def test_a_large_file_is_sampled_including_both_ends(tmp_path: Path, position: int) -> None:
    file = tmp_path / "a.mp4"
    data = bytearray(3 * SAMPLES * SAMPLE_BYTES)
    file.write_bytes(data)
    first = fingerprint(str(file))
    data[position] = 1
    file.write_bytes(data)
    assert fingerprint(str(file)) != first
    file.write_bytes(data[:-1])
    assert fingerprint(str(file))[0] == len(data) - 1


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(bytes(100))
    seen: list[str] = []
    read: Callable[[str], tuple[int, str]] = lambda uri: (seen.append(uri), (1, "x"))[1]  # noqa: E731
    monkeypatch.setattr("stages.media.fingerprint._read_fingerprint", read)
    for _ in range(3):
        fingerprint(str(file))
    os.utime(file, ns=(1, 1))
    fingerprint(str(file))
    assert len(seen) == 2


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint(str(tmp_path / "none.mp4"))
    with pytest.raises(FileNotFoundError):
        fingerprint("memory://none.mp4")
