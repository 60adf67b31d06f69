"""Tests of URIs: file names of every kind can be stored, opened and distinguished."""

import os
from pathlib import Path

import pytest

from stages.media.files import open_uri
from stages.media.uri import escape_non_utf8, hide_secrets, local_path, path_to_uri

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


def test_urls_in_a_text_lose_users_signatures_and_tokens_only() -> None:
    signed = "https://h/a.jpg?X-Amz-Date=1&X-Amz-Signature=s", "s3://me:pw@h/b", "https://h/c?sig=s#x"
    for url, public in zip(signed, ("https://h/a.jpg", "s3://h/b", "https://h/c"), strict=True):
        assert hide_secrets(f'["{url}", "see {url} there"]') == f'["{public}", "see {public} there"]'
    for text in ("https://h/watch?v=abc&design=1&keyword=2", "me@h", "a ?token=b", "https://h/@user"):
        assert hide_secrets(text) == text


def test_escaped_names_stay_distinct() -> None:
    names = [os.fsdecode(b"\xff"), r"\xff", r"\\xff", "é", "a\nb"]
    escaped = [escape_non_utf8(name) for name in names]
    assert escaped == [r"\xff", r"\\xff", r"\\\\xff", "é", "a\nb"]
    assert len(set(escaped)) == len(names)
