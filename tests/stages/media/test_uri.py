"""Tests of URIs: file names of every kind can be stored, opened and distinguished."""

import os
from pathlib import Path

import pytest

from stages.media.files import open_uri
from stages.media.uri import escape_non_utf8, local_path, path_to_uri

NAMES = [
    b"plain.mp4",
    b"a b.mp4",
    b"a\nb.mp4",
    b"q'\"q.mp4",
    "été 日本.mp4".encode(),
    b"\xff\xfe.mp4",
    b"100%25.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_survives_a_round_trip_through_its_uri(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(name)
    uri = path_to_uri(path)
    uri.encode()  # can be stored as text
    assert local_path(uri) == str(path)
    with open_uri(uri) as file:
        assert file.read() == name


def test_remote_files_have_no_local_path() -> None:
    assert local_path("s3://bucket/a.mp4") is None
    assert local_path("/films/s3://odd/a.mp4") == "/films/s3://odd/a.mp4"
    with pytest.raises(FileNotFoundError):
        open_uri("memory://nothing/here.mp4")


def test_escaped_names_stay_distinct() -> None:
    names = [os.fsdecode(b"\xff"), r"\xff", r"\\xff", "é", "a\nb"]
    escaped = [escape_non_utf8(name) for name in names]
    assert escaped == [r"\xff", r"\\xff", r"\\\\xff", "é", "a\nb"]
    assert len(set(escaped)) == len(names)
