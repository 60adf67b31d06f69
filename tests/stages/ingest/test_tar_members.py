"""Tests of tars of videos: members are read in their place, locally and over HTTP; no name escapes."""

import io
import json
import tarfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import serve

from manifests import ClipmillError, Row
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo, Video
from stages.ingest.roots import find_list_columns
from stages.media.encoding.arrays import write_mp4
from stages.media.fingerprint import fingerprint
from stages.media.list_file import absolute_location
from stages.media.uri import local_path, path_to_uri, tar_member
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (12, 90, 160, 3), np.uint8)
    write_mp4(path, list(frames), 6, crf=20)
    return path.read_bytes()


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def _shard(film: bytes) -> dict[str, bytes]:
    one = {"license": "cc0", "take": 1, "tags": ["a", "b"], "uri": "ignored"}
    return {
        "s/one.mp4": film,
        "s/one.json": json.dumps(one).encode(),
        "s/one.txt": b"A dog.\n",
        "s/two.json": b'{"take": 2}',
        "s/two.mp4": film + b"\0",
        "s/three.flac": b"sound",
        "s/._four.mp4": b"hidden",
    }


def _rows(root: Path | str, **settings: Any) -> list[Any]:
    return list(ListVideos(root=str(root), **settings).rows())


def _read(row: Row, kind: type[Row]) -> Any:
    return kind(**{f.name: getattr(row, f.name) for f in fields(kind) if hasattr(row, f.name)})  # type: ignore[arg-type]


def test_videos_in_a_tar_are_those_of_a_folder(tmp_path: Path, film: bytes) -> None:
    tar = _tar(tmp_path / "shard.tar", _shard(film))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/one.mp4").write_bytes(film)
    (plain,) = _rows(tmp_path / "plain")
    columns = find_list_columns(str(tar), {"caption"})
    assert columns == ("license:str", "list_caption:str", "tags:str", "take:int")
    one, two = _rows(tar, list_columns=columns)
    assert (one.id, one.content_sha256, one.size_bytes) == (plain.id, plain.content_sha256, len(film))
    assert (one.source, two.source) == ("shard.tar/s/one.mp4", "shard.tar/s/two.mp4")
    assert (one.license, one.take, one.tags, one.list_caption) == ("cc0", 1, '["a", "b"]', "A dog.")
    assert (two.license, two.take, two.list_caption) == (None, 2, None)
    stage = ListVideos(root=str(tar))
    assert [note.partition(";")[0] for note in stage.notes()] == [
        "1 file left out because of the ending (.flac 1)",
        "1 hidden file or folder left out",
        "columns of the list are left out: license, take, tags, caption",
    ]
    (header,) = ProbeVideo().annotate([_read(one, Video)])
    assert not isinstance(header, Exception)
    scans: list[Any] = list(ScanVideo(meters=()).annotate([_read(row, ListedVideo) for row in (one, plain)]))
    assert all(isinstance(scan, ScannedVideo) for scan in scans)
    assert scans[0].strip.sha256 == scans[1].strip.sha256


def test_texts_beside_images_in_a_tar_are_columns_of_the_images(tmp_path: Path) -> None:
    members = {"a.jpg": b"picture", "a.txt": b"A cat.", "b.mp4": b"film", "b.json": b'{"take": 1}'}
    tar = str(_tar(tmp_path / "shard.tar", members))
    assert find_list_columns(tar, {"caption"}) == ("take:int",)
    columns = find_list_columns(tar, {"caption"}, images=True)
    assert columns == ("list_caption:str", "take:int")
    (image,) = _rows(tar, list_columns=columns, media="images")
    assert image.list_caption == "A cat."


def test_tars_in_folders_and_lists_are_read_and_can_be_listed_themselves(tmp_path: Path, film: bytes) -> None:
    _tar(tmp_path / "shard.tar", _shard(film))
    (tmp_path / "list.csv").write_text("uri,license,split\nshard.tar,by,val\n")
    assert len(_rows(tmp_path)) == 2
    assert find_list_columns(str(tmp_path), ()) == ("caption:str", "license:str", "tags:str", "take:int")
    columns = find_list_columns(str(tmp_path / "list.csv"), ())
    assert "split:str" in columns
    one, two = _rows(tmp_path / "list.csv", list_columns=columns)
    assert (one.license, two.license, two.split, two.take) == ("by", "by", "val", 2)
    assert [row.source for row in _rows(tmp_path, extensions=("tar",))] == ["shard.tar"]


def test_a_tar_on_a_server_is_read_by_ranges(
    tmp_path: Path, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    noise = np.random.default_rng(1).bytes(4 << 20)
    data = _tar(tmp_path / "a.tar", {"one.mp4": film, "x.bin": noise, "two.mp4": film + b"\0"}).read_bytes()
    with serve({"/a.tar": data}) as server:
        one, two = _rows(f"{server.url}/a.tar")
        assert server.sent_bytes < 1 << 20
        assert fingerprint(two.uri) == (len(film) + 1, two.content_sha256)
        (header,) = ProbeVideo().annotate([_read(one, Video)])
        assert not isinstance(header, Exception)
        assert server.sent_bytes < 2 << 20


NAMES = ["../../etc/a.mp4", "/etc/a.mp4", "a/../../b.mp4", "a\nb.mp4", "a#b&size=9.mp4"]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_only_text(name: str, tmp_path: Path, film: bytes) -> None:
    (row,) = _rows(_tar(tmp_path / "a.tar", {name: film}))
    assert row.source.startswith("a.tar/")
    assert ".." not in row.source.split("/")
    member = tar_member(row.uri)
    assert member is not None
    assert (member.archive_uri, member.size) == (str(tmp_path / "a.tar"), len(film))
    assert fingerprint(row.uri)[1] == row.content_sha256


def test_links_in_a_tar_are_not_followed(tmp_path: Path, film: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.mp4")
            info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info)
    with pytest.raises(ClipmillError, match="no videos found"):
        _rows(path)


def test_a_damaged_tar_keeps_what_is_before_the_damage(tmp_path: Path, film: bytes) -> None:
    data = _tar(tmp_path / "a.tar", {"one.mp4": film, "two.mp4": film}).read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: len(film) + 2000])
    (tmp_path / "b.tar").write_bytes(b"no tar" * 1000)
    one, damaged, other = _rows(tmp_path)
    assert (one.source, one.list_error) == ("a.tar/one.mp4", "")
    assert "damaged after 1 members" in damaged.list_error
    assert "cannot be read" in other.list_error


def test_texts_that_cannot_be_read_are_named(tmp_path: Path, film: bytes) -> None:
    texts = {"a.mp4": film, "a.json": b"{", "b.mp4": film, "b.txt": b"x" * (1 << 20) + b"y"}
    first, second = _rows(_tar(tmp_path / "a.tar", texts))
    assert first.list_error.startswith("a.json cannot be read")
    assert second.list_error.startswith("b.txt has 1,048,577 bytes")


def test_a_file_whose_name_looks_like_a_member_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4#member=x&offset=0&size=1"
    path.write_bytes(b"12")
    assert local_path(path_to_uri(path)) == str(path)
    with pytest.raises(ValueError, match="member of a tar"):
        absolute_location("file:///etc/passwd#member=a&offset=0&size=9", "https://host/list.txt")
