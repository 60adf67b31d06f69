"""The lease on a store: who may take it, what clocks and outages do to it, and that a run knows its own."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import StoreUnavailable
from manifests.store import Store
from manifests.stores.folder import FolderStore
from pipeline.engine import lease as leases
from pipeline.engine.lease import Lease
from pipeline.errors import StoreHeld
from pipeline.history import lease_holder as holders
from pipeline.history.lease_holder import LEASE_FILE, lease_holder, lease_of_process

ELSEWHERE = {"host": "elsewhere", "machine": "elsewhere"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_HEARTBEAT_S", 0.05)


class Aged(FolderStore):
    """A store whose server says that the lease was written some time ago."""

    age = 0.0

    def age_s(self, name: str) -> float:
        return self.age


def write(store: Store, **members: Any) -> None:
    store.replace(LEASE_FILE, json.dumps(lease_of_process("other", 600.0) | members).encode())


def holder(store: Store) -> str:
    return str(json.loads(store.read(LEASE_FILE))["run"])


def test_a_second_run_learns_who_holds_the_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with Lease(store, "mine"), pytest.raises(StoreHeld, match="held by run mine"):
        Lease(store, "second").__enter__()
    assert not store.exists(LEASE_FILE)


def test_a_run_knows_its_own_lease(tmp_path: Path) -> None:
    """The answer to its write was lost, and the server that repeats it says that the file exists."""
    store = FolderStore(tmp_path)
    write(store, run="mine")
    with Lease(store, "mine") as lease:
        lease.check()
    assert not store.exists(LEASE_FILE)


def test_the_lease_of_a_process_that_ended_is_taken_at_once(tmp_path: Path) -> None:
    words = "import json, pipeline.history.lease_holder as h; print(json.dumps(h.lease_of_process('x', 9)))"
    ended = subprocess.run([sys.executable, "-c", words], check=True, capture_output=True)
    FolderStore(tmp_path).replace(LEASE_FILE, ended.stdout)
    assert lease_holder(FolderStore(tmp_path)) is None
    with Lease(FolderStore(tmp_path), "mine"):
        assert holder(FolderStore(tmp_path)) == "mine"


@pytest.mark.parametrize("pid", [-1, 1.5, 10**30])
def test_a_lease_with_an_impossible_process_id_is_taken(tmp_path: Path, pid: float) -> None:
    write(FolderStore(tmp_path), pid=pid)
    with Lease(FolderStore(tmp_path), "mine"):
        assert holder(FolderStore(tmp_path)) == "mine"


def test_a_clock_that_jumps_ends_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Aged(tmp_path)
    store.age = 3600.0
    write(store)
    now, boot = time.time, holders.psutil.boot_time()
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    monkeypatch.setattr(holders.psutil._psplatform, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(holders.psutil, "boot_time", lambda: boot + 3600)
    assert (lease_holder(store) or {})["run"] == "other"


def test_the_age_is_that_of_the_server_and_not_of_the_clock_of_another_machine(tmp_path: Path) -> None:
    store = Aged(tmp_path)
    write(store, **ELSEWHERE, beat=time.time() - 3600)
    assert lease_holder(store)
    store.age = 61.0
    assert lease_holder(store) is None


def test_an_old_lease_is_watched_before_it_is_taken(tmp_path: Path) -> None:
    store = Aged(tmp_path)
    store.age = 300.0  # as after an outage of five minutes
    write(store, **ELSEWHERE)
    beats = threading.Timer(0.06, write, (store,), {**ELSEWHERE, "beat": 1.0})
    beats.start()
    with pytest.raises(StoreHeld, match="held by run other"):
        Lease(store, "mine").__enter__()
    with Lease(store, "mine"):  # no heartbeat comes any more
        assert holder(store) == "mine"


def test_a_lease_older_than_the_patience_of_its_run_is_not_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_WATCHED_HEARTBEATS", 10_000)
    store = Aged(tmp_path)
    store.age = 661.0
    write(store, **ELSEWHERE)
    with Lease(store, "mine"):
        assert holder(store) == "mine"


def test_a_holder_that_comes_back_leaves_the_lease_to_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderStore(tmp_path)
    with Lease(store, "mine") as lease:
        write(store, **ELSEWHERE)
        while not caplog.records:
            time.sleep(0.01)
        with pytest.raises(StoreHeld, match="held by run other"):
            lease.check()
    assert holder(store) == "other"
    assert "was taken by run other" in caplog.text


class ReleasedAtOnce(FolderStore):
    """A store whose holder releases its lease in the moment in which another run is refused."""

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        created = super().create(name, data, durable=durable)
        if not created:
            self.remove(name)
        return created


def test_a_lease_that_is_released_in_the_moment_of_a_refusal_is_taken(tmp_path: Path) -> None:
    store = ReleasedAtOnce(tmp_path)
    write(store)
    with Lease(store, "mine"):
        assert holder(store) == "mine"


class InOutage(FolderStore):
    """A store that does not answer for a while."""

    is_down = False
    failed = 0

    def replace_if(self, name: str, expected: bytes, data: bytes) -> bool:
        if self.is_down:
            self.failed += 1
            raise StoreUnavailable("no answer")
        return super().replace_if(name, expected, data)


def test_heartbeats_go_on_after_an_outage(tmp_path: Path) -> None:
    store = InOutage(tmp_path)
    with Lease(store, "mine"):
        store.is_down = True
        while store.failed < 3:
            time.sleep(0.01)
        before = store.read(LEASE_FILE)
        store.is_down = False
        while store.read(LEASE_FILE) == before:
            time.sleep(0.01)
        assert holder(store) == "mine"
    assert not store.exists(LEASE_FILE)


def test_a_lease_of_an_earlier_version_is_respected(tmp_path: Path) -> None:
    lease = {"run": "other", "host": "elsewhere", "pid": 1, "beat": time.time(), "started": 0}
    FolderStore(tmp_path).replace(LEASE_FILE, json.dumps(lease).encode())
    with pytest.raises(StoreHeld, match="held by run other"):
        Lease(FolderStore(tmp_path), "mine").__enter__()
