"""Stores at URLs: races between processes, large files, credentials, and error messages."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from manifests.errors import ManifestError, StoreFull, StoreUnavailable
from manifests.stores import open_store
from manifests.stores.process_folder import process_folder
from manifests.stores.remote import RemoteStore
from manifests.stores.remote_errors import readable_error


def test_one_of_two_processes_wins_on_s3(
    bucket: str, racers: Callable[[str, int, int], list[list[bool]]]
) -> None:
    won = racers(bucket, 10, 2)
    for turn in range(10):
        winners = [who for who in (0, 1) if won[who][turn]]
        assert len(winners) == 1
        assert open_store(bucket).read(f"race/{turn}") == bytes(winners) * 400_000


def test_a_file_in_many_parts_is_created_once(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads above a size go part by part; the condition then holds when the parts are joined."""
    import s3fs.core

    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize=None: 5 << 20)
    store, start, won = open_store(bucket), threading.Barrier(2), []

    def adopt(who: int) -> None:
        file = tmp_path / f"{who}.tar"
        file.write_bytes(bytes([who]) * (11 << 20))
        start.wait()
        if store.move_in("shards/000000.tar", file):
            won.append(who)

    threads = [threading.Thread(target=adopt, args=(who,)) for who in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.size("shards/000000.tar") == 11 << 20
    assert set(store.read("shards/000000.tar")) == set(won)
    left = s3fs.S3FileSystem().call_s3("list_multipart_uploads", Bucket=bucket.removeprefix("s3://"))
    assert not left.get("Uploads")


def test_a_server_that_ignores_the_condition_is_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    whole = s3fs.S3FileSystem._filter_kwargs

    def old(self, method, kwargs):  # type: ignore[no-untyped-def]  # as with botocore before 1.35.20
        return {k: v for k, v in whole(self, method, kwargs).items() if k != "IfNoneMatch"}

    monkeypatch.setattr(s3fs.S3FileSystem, "_filter_kwargs", old)
    for _ in range(2):
        with pytest.raises(ManifestError, match="ignores create-if-absent"):
            open_store(bucket).create("x", b"")
    assert not open_store(bucket).exists("x")


def test_two_concurrent_writers_try_again(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers 409 where two conditional writes meet, and neither has won yet."""
    from botocore.exceptions import ClientError

    store = open_store(bucket)
    store.create("warm", b"")
    files = store._at("")[0]
    whole, paths = files.pipe_file, []

    def busy(path: str, data: bytes, **more: object) -> object:
        paths.append(path)
        if len(paths) < 3:
            answer = {"Error": {"Code": "ConditionalRequestConflict", "Message": "conflict"}}
            raise OSError("conflict") from ClientError(answer, "PutObject")
        return whole(path, data, **more)

    monkeypatch.setattr(files, "pipe_file", busy)
    assert store.create("y", b"1")
    assert len(paths) == 3


def test_a_url_never_shows_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    store = RemoteStore("s3://KEY:s3cret@bucket/films/?token=t0ken#part")
    assert store.url == "s3://bucket/films"
    again = store.__reduce__()
    assert "s3cret" not in repr(again)
    assert "t0ken" not in repr(again)


def test_a_missing_bucket_is_named(s3: None) -> None:
    store = open_store("s3://no-such-bucket-here/films")
    for call in (lambda: store.create("x", b""), store.names, lambda: store.read("x")):
        with pytest.raises(ManifestError, match="no bucket 'no-such-bucket-here'") as error:
            call()
        assert "AWS_ENDPOINT_URL" in error.value.remedy


def test_missing_credentials_raise(s3: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ManifestError, match="refused access") as error:
        open_store("s3://somewhere/films").create("x", b"")
    assert "AWS_ACCESS_KEY_ID" in error.value.remedy


def test_an_unreachable_server_raises(s3: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setenv("CLIPMILL_STORE_PATIENCE", "0")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreUnavailable, match="the store has not answered since") as error:
        open_store("s3://somewhere/films").names()
    assert "run the same command again" in error.value.remedy
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = sys.modules["fsspec.registry"]._registry
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for name in ("s3", "s3a"):
        monkeypatch.delitem(known, name, raising=False)
    with pytest.raises(ManifestError) as error:
        open_store("s3://bucket/films").names()
    assert "pip install 'clipmill[s3]'" in str(error.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s4://b/x", "not a supported kind of store"),
        ("simplecache::s3://b/x", "one plain URL"),
        ("plain://x", "does not support create-if-absent"),
    ],
)
def test_an_unsupported_url_is_refused(url: str, message: str) -> None:
    """fsspec's generic create is not atomic, so two writers could both win."""

    class Plain(MemoryFileSystem):
        protocol = "plain"
        pipe_file = fsspec.AbstractFileSystem.pipe_file

    fsspec.register_implementation("plain", Plain, clobber=True)
    with pytest.raises(ManifestError, match=message):
        open_store(url).create("x", b"")


@pytest.mark.parametrize("code", ["XMinioStorageFull", "QuotaExceeded"])
def test_a_full_server_is_a_full_store(code: str) -> None:
    from botocore.exceptions import ClientError

    error = OSError("full")
    error.__cause__ = ClientError({"Error": {"Code": code}}, "PutObject")
    assert isinstance(readable_error(error, "s3://b", "x"), StoreFull)


def test_downloads_of_a_killed_process_are_deleted() -> None:
    reading = (
        "import time; from manifests.stores import open_store\n"
        "store = open_store('memory://x'); store.create('big.bin', b'x' * 1000)\n"
        "with store.local('big.bin') as path: print(path, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", reading], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    left = Path(child.stdout.readline().strip())
    subprocess.run([sys.executable, "-c", _NEW_FOLDER], check=True, capture_output=True)
    assert left.exists(), "another process took the download of a living one"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    next_one = subprocess.run([sys.executable, "-c", _NEW_FOLDER], check=True, capture_output=True, text=True)
    assert not left.exists()
    assert not Path(next_one.stdout.strip()).exists(), "a process leaves its own folder behind"


_NEW_FOLDER = "from manifests.stores.process_folder import process_folder; print(process_folder())"


def test_a_download_is_gone_after_use(bucket: str) -> None:
    store = open_store(bucket)
    store.create("x", b"1")
    before = set(os.listdir(process_folder()))
    with pytest.raises(ZeroDivisionError), store.local("x") as path:
        1 / 0  # noqa: B018
    assert not path.exists()
    assert set(os.listdir(process_folder())) <= before


FORK = """
import os, sys
from manifests.stores import open_store
store = open_store(sys.argv[1])
store.create("x", b"1")
child = os.fork()
if child == 0:
    os._exit(0 if store.read("x") == b"1" else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_opens_its_own_connection(bucket: str) -> None:
    """The process of the test has threads of other libraries, which may not survive a fork."""
    subprocess.run([sys.executable, "-c", FORK, bucket], check=True, timeout=120)
