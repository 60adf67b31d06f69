"""Tests of ListVideos: every video is listed once, in order, with an id derived from its content."""

import os
from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.ingest.list_videos import ListVideos
from stages.media.files import open_uri


def _write(root: Path, files: dict[str | bytes, bytes]) -> None:
    for name, data in files.items():
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_videos_are_listed_in_order_and_other_files_are_skipped(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {"b.MP4": b"1", "a/c.webm": b"2", "a/d/e.mkv": b"3", "n.txt": b"4", ".h.mp4": b"5", ".x/y.mp4": b"6"},
    )
    rows = list(ListVideos(root=str(tmp_path)).rows())
    assert [row.source for row in rows] == ["a/c.webm", "a/d/e.mkv", "b.MP4"]
    assert [row.size_bytes for row in rows] == [1, 1, 1]
    assert [row.uri for row in rows] == [str(tmp_path / row.source) for row in rows]
    assert [row.source for row in ListVideos(root=str(tmp_path), limit=2).rows()] == ["a/c.webm", "a/d/e.mkv"]


def test_ids_depend_on_the_content(tmp_path: Path) -> None:
    large = bytes(range(256)) * 9000  # 2.3 MB: sampled, not read completely
    _write(
        tmp_path / "one",
        {"a.mp4": b"same", "b.mp4": b"same", "c.mp4": large, "d.mp4": large[:-1] + b"!", "e.mp4": b""},
    )
    _write(tmp_path / "two", {"z/a.mp4": b"same", "z/b.mp4": b"same", "z/c.mp4": large})
    one, two = ({r.source: r.id for r in ListVideos(root=str(tmp_path / n)).rows()} for n in ("one", "two"))
    assert len(set(one.values())) == 5
    assert {one[name] for name in ("a.mp4", "b.mp4", "c.mp4")} == set(two.values())


def test_unusual_names_are_stored_and_opened(tmp_path: Path) -> None:
    names = [b"a b.mp4", b"a\nb.mp4", b"q'\"<b>.mp4", b"\xff.mp4", rb"\xff.mp4", "été.mp4".encode()]
    _write(tmp_path, {name: name for name in names})
    rows = list(ListVideos(root=str(tmp_path)).rows())
    assert len({row.source for row in rows}) == len(names)
    found = []
    for row in rows:
        row.source.encode()
        row.uri.encode()
        with open_uri(row.uri) as file:
            found.append(file.read())
    assert sorted(found) == sorted(names)


def test_links_are_followed_once_and_broken_links_are_listed(tmp_path: Path) -> None:
    _write(tmp_path, {"root/a.mp4": b"a", "else/b.mp4": b"b", "c.mp4": b"c"})
    (tmp_path / "root/else").symlink_to(tmp_path / "else")
    (tmp_path / "root/loop").symlink_to(tmp_path / "root")
    (tmp_path / "root/c.mp4").symlink_to(tmp_path / "c.mp4")
    (tmp_path / "root/gone.mp4").symlink_to(tmp_path / "nowhere")
    rows = list(ListVideos(root=str(tmp_path / "root")).rows())
    assert [(row.source, row.size_bytes) for row in rows] == [
        ("a.mp4", 1), ("c.mp4", 1), ("else/b.mp4", 1), ("gone.mp4", 0),
    ]  # fmt: skip


def test_the_digest_changes_with_the_videos(tmp_path: Path) -> None:
    _write(tmp_path, {"a.mp4": b"a"})
    stage = ListVideos(root=str(tmp_path))
    seen = [stage.digest()]
    _write(tmp_path, {"n.txt": b"not a video"})
    assert stage.digest() == seen[0]
    _write(tmp_path, {"b.mp4": b"b"})
    seen.append(stage.digest())
    os.utime(tmp_path / "b.mp4", ns=(1, 1))
    seen.append(stage.digest())
    assert len(set(seen)) == 3


def test_the_root_can_be_a_file(tmp_path: Path) -> None:
    _write(tmp_path, {"a.mp4": b"a", "b.mp4": b"b"})
    assert [r.source for r in ListVideos(root=str(tmp_path / "b.mp4")).rows()] == ["b.mp4"]


@pytest.mark.parametrize(
    ("root", "message"), [("nowhere", "does not exist"), ("", "no videos found among 1 files")]
)
def test_a_wrong_root_is_an_error_before_anything_runs(tmp_path: Path, root: str, message: str) -> None:
    _write(tmp_path, {"a.txt": b""})
    with pytest.raises(ClipmillError, match=message) as caught:
        ListVideos(root=str(tmp_path / root)).digest()
    assert caught.value.remedy


def test_an_unknown_type_of_url_is_an_error() -> None:
    with pytest.raises(ClipmillError, match="cannot open this type of URL"):
        ListVideos(root="nonsense://a/b").digest()


def test_remote_videos_are_listed_through_fsspec() -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe({"/shelf/a.mp4": b"same", "/shelf/deep/b.mp4": b"same", "/shelf/n.txt": b""})
    try:
        rows = list(ListVideos(root="memory://shelf").rows())
    finally:
        files.rm("/shelf", recursive=True)
    assert [row.source for row in rows] == ["a.mp4", "deep/b.mp4"]
    assert rows[0].id != rows[1].id
    assert rows[0].uri == "memory:///shelf/a.mp4"


def test_a_store_inside_the_footage_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "store" / "cut_clip-1").mkdir(parents=True)
    (tmp_path / "store" / "store.json").write_text("{}")
    (tmp_path / "store" / "cut_clip-1" / "clip.mp4").write_bytes(b"clip")
    assert [row.source for row in ListVideos(root=str(tmp_path)).rows()] == ["film.mp4"]
    assert [row.source for row in ListVideos(root=f"file://{tmp_path}").rows()] == ["film.mp4"]
