"""Tests of footage in an object store: names of every kind, read literally, with the ids of a folder."""

import os
import select
import socket
import socketserver
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.ingest.list_videos import ListVideos, Video
from stages.media.files import file_status, open_uri
from stages.media.fingerprint import fingerprint
from stages.media.remote import errors
from stages.media.remote.errors import RemoteReadError

NAMES = [
    "a b.mp4", "c#d.mp4", "e%20f.mp4", "g?h.mp4", "i:j.mp4", "k::l.mp4", "m[1].mp4", "n*o.mp4", "{p,q}.mp4",
    "été 日本🎬.mp4", "-z.mp4", "a=b&c.mp4", "sub dir/a b.mp4", "http:/x.mp4", "s3::y.mp4", "%s%d.mp4",
    "UP.MP4",
]  # fmt: skip
LARGE = os.urandom(2 << 20)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket with a film of every name below `in`, and other files."""
    import s3fs

    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": host,
        }.items():  # fmt: skip
            patch.setenv(name, value)
        patch.setattr(errors, "_FIRST_WAIT_S", 0.0)
        s3fs.S3FileSystem.clear_instance_cache()
        yield _filled_bucket()
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def _filled_bucket() -> str:
    import s3fs

    bucket, files = f"films-{uuid.uuid4().hex[:8]}", s3fs.S3FileSystem()
    files.mkdir(bucket)
    others = (
        "in/n.txt",
        "in/.h.mp4",
        "in/.x/y.mp4",
        "in/folder/",
        "in/st/store.json",
        "in/st/c.mp4",
        "in2/z.mp4",
    )
    for name in (*(f"in/{name}" for name in NAMES), *others):
        files.call_s3("put_object", Bucket=bucket, Key=name, Body=name.encode())
    files.call_s3("put_object", Bucket=bucket, Key="large/film.bin", Body=LARGE)
    return f"s3://{bucket}"


def _rows(root: str) -> dict[str, Video]:
    return {row.source: row for row in ListVideos(root=root).rows()}


def test_every_name_is_listed_and_read(bucket: str, tmp_path: Path) -> None:
    rows = _rows(f"{bucket}/in")
    assert list(rows) == sorted(NAMES)
    assert rows == _rows(f"{bucket}/in/")
    for name, row in rows.items():
        assert (row.uri, row.size_bytes, row.list_error) == (
            f"{bucket}/in/{name}",
            len(f"in/{name}".encode()),
            "",
        )
        with open_uri(row.uri) as file:
            assert file.read() == f"in/{name}".encode()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(f"in/{name}".encode())
    assert {row.source: row.id for row in ListVideos(root=str(tmp_path)).rows()} == {
        name: row.id for name, row in rows.items()
    }


def test_what_is_left_out_is_noted(bucket: str) -> None:
    stage = ListVideos(root=f"{bucket}/in")
    stage.digest()
    assert stage.notes() == (
        "1 file left out because of the ending (.txt 1); `extensions` lists the endings of videos",
        "2 hidden files and folders left out",
        f"the store {bucket}/in/st is left out",
    )


def test_one_object_and_a_list_of_objects_are_footage(bucket: str, tmp_path: Path) -> None:
    assert list(_rows(f"{bucket}/large/film.bin")) == ["film.bin"]
    assert list(_rows(f"{bucket}/in/.h.mp4")) == [".h.mp4"]
    lines = [f"{bucket}/in/{name}" for name in ("k::l.mp4", "gone.mp4", "g?h.mp4")]
    (tmp_path / "list.txt").write_text("\n".join([*lines, f"{bucket}/in2", "s3://no-such-bucket/a.mp4"]))
    rows = list(ListVideos(root=str(tmp_path / "list.txt")).rows())
    assert [row.uri for row in rows] == [*lines, f"{bucket}/in2/z.mp4", "s3://no-such-bucket/a.mp4"]
    assert [bool(row.list_error) for row in rows] == [False, True, False, False, True]
    import s3fs

    s3fs.S3FileSystem().pipe(f"{bucket}/list.txt", b"in/a b.mp4\nlarge/film.bin\n/etc/passwd")
    rows = list(ListVideos(root=f"{bucket}/list.txt").rows())
    assert [row.uri for row in rows[:2]] == [f"{bucket}/in/a b.mp4", f"{bucket}/large/film.bin"]
    assert "files of this machine" in rows[2].list_error


def test_a_changed_object_changes_the_digest(bucket: str) -> None:
    import s3fs

    stage = ListVideos(root=f"{bucket}/in2")
    first = stage.digest()
    assert stage.digest() == first
    s3fs.S3FileSystem().pipe(f"{bucket}/in2/z.mp4", b"IN2/z.mp4")
    assert stage.digest() != first


def test_ranges_of_an_object_are_read(bucket: str, tmp_path: Path) -> None:
    url = f"{bucket}/large/film.bin"
    (tmp_path / "film").write_bytes(LARGE)
    assert fingerprint(url) == fingerprint(str(tmp_path / "film"))
    with open_uri(url) as file:
        file.seek(1_500_000)
        assert file.read(100) == LARGE[1_500_000:1_500_100]
    assert file_status(url).size_bytes == len(LARGE)
    with pytest.raises(FileNotFoundError, match=r"none\.mp4 does not exist"):
        open_uri(f"{bucket}/none.mp4")


def test_reads_through_a_connection_that_breaks_are_repeated(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    with _breaking_proxy(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2], breaks=3) as (endpoint, broken):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        s3fs.S3FileSystem.clear_instance_cache()
        with open_uri(f"{bucket}/large/film.bin") as file:
            assert file.read() == LARGE
        assert len(broken) == 3
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def _breaking_proxy(port: str, breaks: int) -> Iterator[tuple[str, list[int]]]:
    """A proxy that closes its next connections after 20,000 bytes of answers."""
    broken: list[int] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", int(port))) as upstream:
                sent = 0
                while True:
                    for ready in select.select([self.request, upstream], [], [])[0]:
                        data = ready.recv(4096)
                        if not data:
                            return
                        (upstream if ready is self.request else self.request).sendall(data)
                        sent += len(data) if ready is upstream else 0
                    if sent > 20_000 and len(broken) < breaks:
                        broken.append(sent)
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", broken
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("root", "message"),
    [("s3://no-such-bucket/films", "no such bucket"), ("{bucket}/none", "does not exist")],
)
def test_a_missing_root_is_an_error(bucket: str, root: str, message: str) -> None:
    with pytest.raises(ClipmillError, match=message) as caught:
        ListVideos(root=root.format(bucket=bucket)).digest()
    assert caught.value.remedy


def test_missing_credentials_name_the_remedy(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ClipmillError, match="cannot be listed") as caught:
        ListVideos(root=f"{bucket}/in").digest()
    assert "credentials" in caught.value.remedy
    with pytest.raises(RemoteReadError, match="access is refused"):
        open_uri(f"{bucket}/in/a b.mp4")
    s3fs.S3FileSystem.clear_instance_cache()
