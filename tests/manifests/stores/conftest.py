"""Stores to test: a folder, fsspec's memory, and a bucket of a real local S3 server."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy

from benchmarks.workloads.local_s3 import local_s3
from manifests.store import Store
from manifests.stores import open_store, outage


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 server on this machine."""
    pytest.importorskip("moto.server")
    with local_s3() as url:
        yield url


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a user who works with that server."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # instances of other tests keep the endpoint of their server
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bucket(s3: None) -> str:
    """The URL of a new bucket."""
    import s3fs

    name = f"clips-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def proxy(s3_server: str, s3: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before the S3 server, which the environment names as the endpoint."""
    proxy = FaultyProxy(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    outage._outages.clear()
    yield proxy
    proxy.close()


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    urls = {"folder": lambda: str(tmp_path / "store"), "memory": lambda: f"memory://{uuid.uuid4().hex}/in"}
    if request.param == "s3":
        return open_store(f"{request.getfixturevalue('bucket')}/in/here")
    return open_store(urls[request.param]())


_RACER = """
import sys
from manifests.stores import open_store
store, who = open_store(sys.argv[1]), int(sys.argv[2])
store.names()
for line in sys.stdin:
    print(int(store.create(f"race/{line.strip()}", bytes([who]) * 400_000)), flush=True)
"""


@pytest.fixture
def racers() -> Iterator[Callable[[str, int, int], list[list[bool]]]]:
    """Let some processes write the same names at once; say which of them won which turn."""
    running: list[subprocess.Popen[str]] = []

    def race(url: str, rounds: int, writers: int) -> list[list[bool]]:
        for who in range(writers):
            command = [sys.executable, "-c", _RACER, url, str(who)]
            pipe = subprocess.PIPE
            running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1))
        for turn in ["warm", *range(rounds)]:
            for one in running:
                one.stdin.write(f"{turn}\n")
            answers = [one.stdout.readline().strip() == "1" for one in running]
            won.append(answers)
        return [list(column) for column in zip(*won[1:], strict=True)]

    won: list[list[bool]] = []
    yield race
    for one in running:
        one.communicate(timeout=30)
        assert one.returncode == 0
