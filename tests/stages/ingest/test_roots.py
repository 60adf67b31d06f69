"""Tests of several parts of the footage: folders, files and lists after commas."""

from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.ingest.list_videos import ListVideos
from stages.ingest.roots import split_roots


@pytest.fixture(autouse=True)
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x/a.mp4", "y/a.mp4", "y/deep/x/b.mp4", "c,d.mp4", "one,two/e.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "list.csv").write_text("uri,license\nx/a.mp4,cc0\n")
    monkeypatch.chdir(tmp_path)


def _sources(root: str) -> list[str]:
    return [row.source for row in ListVideos(root=root).rows()]


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        ("x", ["x"]),
        ("x, y", ["x", "y"]),
        ("c,d.mp4", ["c,d.mp4"]),
        ("x,one,two", ["x,one,two"]),
        ("x,./one,two", ["x", "./one,two"]),
        ("x,s3://bucket/a,b.mp4,https://host/", ["x", "s3://bucket/a,b.mp4", "https://host/"]),
    ],
)
def test_commas_separate_locations_and_are_parts_of_names(text: str, roots: list[str]) -> None:
    assert split_roots(text) == roots


def test_the_files_of_all_parts_are_listed_with_their_folder() -> None:
    assert _sources("x,y") == ["x/a.mp4", "y/a.mp4", "y/deep/x/b.mp4"]
    assert _sources("x") == ["a.mp4"]


def test_two_folders_of_one_name_keep_their_paths() -> None:
    assert _sources("x,y/deep/x") == ["x/a.mp4", "y/deep/x/b.mp4"]


def test_a_file_is_listed_once_and_the_others_are_counted() -> None:
    stage = ListVideos(root="list.csv,x,y")
    stage.digest()
    assert _sources("list.csv,x,y") == ["x/a.mp4", "y/a.mp4", "y/deep/x/b.mp4"]
    assert stage.notes()[0] == "1 file left out because the footage names it twice"


def test_a_missing_part_is_named() -> None:
    with pytest.raises(ClipmillError, match="does not exist") as failure:
        ListVideos(root="x,./missing").digest()
    assert failure.value.where == "./missing"


def test_the_ids_do_not_depend_on_the_parts() -> None:
    alone = {row.id for row in ListVideos(root="y").rows()}
    assert alone < {row.id for row in ListVideos(root="x,y").rows()}


def test_files_keep_their_names() -> None:
    assert _sources("y/deep/x/b.mp4,x") == ["b.mp4", "x/a.mp4"]
    assert _sources("x/a.mp4,y/a.mp4") == ["x/a.mp4", "y/a.mp4"]
