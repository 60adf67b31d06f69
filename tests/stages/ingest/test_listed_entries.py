"""Tests of lists of footage: every entry is a row, and secrets stay in the list."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_server import FileServer, secrets_of, serve

from manifests import ClipmillError
from stages.ingest.list_videos import ListVideos, Video
from stages.media.errors import UnreadableFile
from stages.media.files import open_uri
from stages.media.remote import errors
from stages.media.remote.addresses import PRIVATE, without_mark
from stages.media.remote.http import public_url

SECRET = "X-Amz-Signature=s3cret&X-Amz-Expires=60"


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[FileServer]:
    files = {f"/films/{name}": name.encode() for name in ("a.mp4", "b.mp4", "c d.mp4", "sub/e.mp4", "n.json")}
    with serve(files) as running:
        yield running


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b c.mp4", "film.bin", "sub/d.mp4", "sub/e.mp4", "sub/n.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "none").mkdir()
    return tmp_path


def _write(folder: Path, *lines: str, name: str = "list.txt") -> ListVideos:
    (folder / name).write_text("\n".join(lines))
    return ListVideos(root=str(folder / name), allow_private_urls=True)


def _rows(stage: ListVideos) -> list[Video]:
    return list(stage.rows())


def test_paths_are_listed_in_the_order_of_the_list(films: Path) -> None:
    stage = _write(
        films, "# films", "film.bin", "", "  b c.mp4\r", str(films / "a.mp4"), "sub", "./none/../sub/d.mp4"
    )
    rows = _rows(stage)
    assert [row.source for row in rows] == [
        "film.bin", "b c.mp4", str(films / "a.mp4"), "sub/d.mp4", "sub/e.mp4", "./none/../sub/d.mp4",
    ]  # fmt: skip
    assert [row.uri for row in rows[:2]] == [str(films / "film.bin"), str(films / "b c.mp4")]
    assert not any(row.list_error for row in rows)
    stage.digest()
    assert stage.notes()[0].startswith("1 file left out because of the ending (.txt 1)")
    assert rows[1].id == next(ListVideos(root=str(films / "b c.mp4")).rows()).id


def test_entries_that_cannot_be_read_are_rows_with_a_reason(films: Path, server: FileServer) -> None:
    url = f"{server.url}/films/a.mp4"
    lines = [
        "gone.mp4", "a.mp4", url, "./a.mp4", url, "none", "list.txt", "http://", "ftq://host/a.mp4",
        f"{server.url}/none.mp4", "http://host:x/a.mp4", "s3://KEY:SECRET@bucket/a.mp4", "http://127.0.0.1:9/a.mp4",
    ]  # fmt: skip
    rows = _rows(_write(films, *lines))
    reasons = [row.list_error for row in rows]
    assert len(rows) == len(lines)
    assert reasons[:7] == [
        "the file does not exist", "", "", "listed twice: line 2 has it already",
        "listed twice: line 3 has it already", "the folder has no videos", "a list cannot name another list",
    ]  # fmt: skip
    parts = [
        "names no file", "ftq:// is not allowed in a list", "none.mp4 does not exist: HTTP 404",
        "InvalidURL", "credentials", "ConnectError",
    ]  # fmt: skip
    for reason, part in zip(reasons[7:], parts, strict=True):
        assert part in reason
    assert len({row.id for row in rows}) == len(rows)
    assert "SECRET" not in repr(rows)


@pytest.mark.parametrize("name", ["l.csv", "l.jsonl", "l.parquet", "L.CSV"])
def test_tables_with_a_column_uri_are_lists(films: Path, name: str) -> None:
    uris = ["b c.mp4", None, "sub/d.mp4"]
    table = pa.table({"license": ["x", "y", "z"], "uri": uris})
    if name.endswith("parquet"):
        pq.write_table(table, films / name)
    elif name.endswith("jsonl"):
        (films / name).write_text("\n".join([*map(json.dumps, table.to_pylist()), "{"]))
    else:
        (films / name).write_text("license,uri\n" + "".join(f'x,"{uri or ""}"\n' for uri in uris))
    rows = _rows(ListVideos(root=str(films / name)))
    assert [row.list_error for row in rows][:3] == ["", "no uri", ""]
    assert [row.source for row in rows][::2][:2] == ["b c.mp4", "sub/d.mp4"]
    assert [row.list_error for row in rows][3:] == (["not a line of JSON"] if name.endswith("jsonl") else [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "path,license\na,b\n", "no column 'uri'"),
        ("l.parquet", "not parquet", "cannot be read"),
        ("l.txt", "# nothing\n\n", "names no footage"),
    ],
)
def test_a_list_without_entries_is_an_error(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ClipmillError, match=message) as caught:
        ListVideos(root=str(tmp_path / name)).digest()
    assert caught.value.remedy


def test_a_changed_list_and_a_changed_file_change_the_digest(films: Path, server: FileServer) -> None:
    stage = _write(films, "a.mp4", f"{server.url}/films/a.mp4")
    digests = [stage.digest(), stage.digest()]
    _write(films, "# a comment", "a.mp4", f"{server.url}/films/a.mp4")
    digests.append(stage.digest())
    assert len(set(digests)) == 1
    server.files["/films/a.mp4"] = b"other"
    digests.append(stage.digest())
    _write(films, f"{server.url}/films/a.mp4", "a.mp4")
    digests.append(stage.digest())
    assert len(set(digests)) == 3


def test_secrets_stay_in_the_list(films: Path, server: FileServer) -> None:
    server.token = SECRET
    url = f"{server.url}/films/a.mp4?{SECRET}"
    user = server.url.replace("//", "//me:s3cret@") + f"/films/b.mp4?{SECRET}"
    stage = _write(films, "a.mp4", url, user)
    rows = _rows(stage)
    assert not any(row.list_error for row in rows)
    assert "s3cret" not in repr(rows)
    assert rows[1].source == public_url(url)
    assert rows[1].uri == f"{public_url(url)}#list={films}/list.txt&line=2{PRIVATE}"
    assert secrets_of(url) == SECRET
    for row, content in zip(rows[1:], (b"a.mp4", b"b.mp4"), strict=True):
        with open_uri(row.uri) as file:
            assert file.read() == content
    assert rows[0].content_sha256 == rows[1].content_sha256


def test_urls_that_are_signed_again_are_the_same_films(films: Path, server: FileServer) -> None:
    stage, digests, uris = _write(films), [], []
    for signature in ("s1=1", "s2=2"):
        server.token = signature
        _write(films, f"{server.url}/films/a.mp4?{signature}")
        digests.append(stage.digest())
        uris += [row.uri for row in stage.rows()]
    assert digests[0] == digests[1]
    assert uris[0] == uris[1]
    _write(films, "# moved to another line", f"{server.url}/films/a.mp4?s2=2")
    assert open_uri(uris[0]).read() == b"a.mp4"
    _write(films, f"{server.url}/films/b.mp4?s2=2")
    with pytest.raises(UnreadableFile, match=r"films/a\.mp4 is no longer in line 1"):
        open_uri(uris[0])
    (films / "list.txt").unlink()
    with pytest.raises(UnreadableFile, match=r"the list of .* cannot be read"):
        open_uri(uris[0])


def test_urls_that_differ_in_their_query_are_different_films(films: Path) -> None:
    with serve({"/v": b"same path"}) as server:
        rows = _rows(_write(films, f"{server.url}/v?id=1", f"{server.url}/v?id=2"))
        assert [without_mark(row.uri)[-6:] for row in rows] == ["line=1", "line=2"]
        server.requests.clear()
        for row in rows:
            open_uri(row.uri).read()
        assert {path for path, _ in server.requests} == {"/v?id=1", "/v?id=2"}


def test_a_url_with_a_secret_belongs_into_a_list(server: FileServer) -> None:
    for url in (
        f"{server.url}/films/a.mp4?{SECRET}",
        "https://me:s3cret@host/films",
        "s3://KEY:s3cret@bucket/a",
    ):
        with pytest.raises(ClipmillError, match="may be a secret") as caught:
            ListVideos(root=url).digest()
        assert "s3cret" not in str(caught.value)
        assert "text file" in caught.value.remedy


def test_a_server_with_index_pages_is_a_folder(server: FileServer, films: Path) -> None:
    stage = ListVideos(root=f"{server.url}/films/")
    assert [row.source for row in stage.rows()] == ["a.mp4", "b.mp4", "c d.mp4", "sub/e.mp4"]
    stage.digest()
    assert stage.notes()[0].startswith("1 file left out because of the ending (.json 1)")
    [row] = ListVideos(root=f"{server.url}/films/c%20d.mp4").rows()
    assert (row.source, row.size_bytes) == ("c d.mp4", 7)
    rows = _rows(_write(films, f"{server.url}/films/sub/"))
    assert [row.source for row in rows] == [f"{server.url}/films/sub/e.mp4"]
    with pytest.raises(ClipmillError, match="does not exist"):
        ListVideos(root=f"{server.url}/none/").digest()


def test_a_list_at_a_url_names_urls(server: FileServer) -> None:
    server.files["/lists/l.txt"] = (
        f"../films/a.mp4\n/etc/passwd\nfile:///etc/passwd\n{server.url}/films/b.mp4".encode()
    )
    rows = _rows(ListVideos(root=f"{server.url}/lists/l.txt"))
    assert [row.uri for row in rows[::3]] == [f"{server.url}/films/{name}.mp4{PRIVATE}" for name in "ab"]
    assert {row.list_error for row in rows[1:3]} == {"a list at a URL cannot name files of this machine"}
