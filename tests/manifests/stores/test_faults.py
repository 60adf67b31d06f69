"""A store behind a faulty network: outages are waited for, and lost answers to writes are read back."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy

from manifests.errors import InvalidSetting, ManifestError, StoreUnavailable
from manifests.store import Store
from manifests.stores import open_store, outage
from manifests.stores.outage import store_patience_s, without_waiting
from manifests.stores.remote import RemoteStore

CALLS: dict[str, tuple[Callable[[Store, Path], object], object]] = {
    "read": (lambda store, _: store.read("old"), b"0123456789"),
    "read a range": (lambda store, _: store.read("old", 2, 3), b"234"),
    "exists": (lambda store, _: store.exists("old"), True),
    "size": (lambda store, _: store.size("old"), 10),
    "age_s": (lambda store, _: 0 <= store.age_s("old") < 60, True),
    "names": (lambda store, _: store.names(), ["old", "some"]),
    "walk": (lambda store, _: list(store.walk()), ["old", "some/file"]),
    "files": (lambda store, _: [file.name for file in store.files("some")], ["some/file"]),
    "local": (lambda store, _: _content(store), b"0123456789"),
    "create": (lambda store, _: store.create("new", b"1"), True),
    "move_in": (lambda store, file: store.move_in("moved", file), True),
    "link": (lambda store, _: store.link("linked", "old"), True),
    "replace": (lambda store, _: store.replace("new", b"2"), None),
    "replace_if": (lambda store, _: store.replace_if("new", b"2", b"3"), True),
    "remove": (lambda store, _: store.remove("old"), None),
    "remove_folder": (lambda store, _: store.remove_folder("some"), None),
}


def _content(store: Store) -> bytes:
    with store.local("old") as path:
        return path.read_bytes()


@pytest.fixture
def remote(proxy: FaultyProxy, bucket: str) -> Store:
    store = RemoteStore(f"{bucket}/in", patience_s=20)
    store.create("old", b"0123456789")
    store.create("some/file", b"")
    return store


def for_a_while(proxy: FaultyProxy, fault: str, seconds: float) -> None:
    """Every request fails, for some seconds from now on."""
    proxy.fault = lambda method, path: fault
    threading.Timer(seconds, lambda: setattr(proxy, "fault", lambda method, path: "")).start()


def once(proxy: FaultyProxy, fault: str, of: str) -> None:
    """The first request of a method fails."""
    left = [fault]
    proxy.fault = lambda method, path: left.pop() if method == of and left else ""


def test_every_call_waits_for_a_store_that_does_not_answer(
    remote: Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    for name, (call, expected) in CALLS.items():
        file.write_bytes(b"1")
        for_a_while(proxy, "503", 0.25)
        assert call(remote, file) == expected, name


def test_reads_and_writes_wait_whatever_the_fault(remote: Store, proxy: FaultyProxy) -> None:
    for fault in ("500", "reset", "truncated"):
        for_a_while(proxy, fault, 0.4)
        assert remote.create(fault, b"1" * 100_000)
        for_a_while(proxy, fault, 0.4)
        assert remote.read(fault) == b"1" * 100_000
        for_a_while(proxy, fault, 0.4)
        assert fault in remote.names()


def test_a_closed_port_is_waited_for(remote: Store, proxy: FaultyProxy) -> None:
    calls = [threading.Thread(target=remote.create, args=(f"t/{n}", b"1")) for n in range(4)]
    with proxy.refuses_connections():
        for call in calls:
            call.start()
        time.sleep(0.5)
        assert all(call.is_alive() for call in calls)
    for call in calls:
        call.join()
    assert remote.names("t") == ["0", "1", "2", "3"]


@pytest.mark.parametrize("size", [10, 11 << 20])
def test_a_write_whose_answer_is_lost_is_ours(
    size: int, remote: Store, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large files are uploaded in parts, and the request that joins them is a POST."""
    import s3fs.core

    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize=None: 5 << 20)
    file = tmp_path / "file"
    file.write_bytes(b"1" * size)
    of, left = ("PUT", ["lost"]) if size == 10 else ("POST", ["lost"])
    proxy.fault = lambda method, path: left.pop() if left and method == of and "uploads" not in path else ""
    assert remote.move_in("new", file)
    assert not left
    assert remote.size("new") == size


def test_a_new_file_whose_answer_is_lost_is_ours_and_an_existing_one_is_not(
    remote: Store, proxy: FaultyProxy
) -> None:
    once(proxy, "lost", "PUT")
    assert remote.create("new", b"1")
    once(proxy, "lost", "PUT")
    assert not remote.create("new", b"1"), "equal bytes of another call are not ours"
    once(proxy, "lost", "PUT")
    assert remote.replace_if("new", b"1", b"2")
    assert not remote.replace_if("new", b"1", b"3")
    assert remote.read("new") == b"2"


def test_of_two_that_replace_a_file_one_wins(remote: Store) -> None:
    start, won = threading.Barrier(4), []

    def replace(who: int) -> None:
        start.wait()
        if remote.replace_if("old", b"0123456789", b"%d" % who):
            won.append(who)

    threads = [threading.Thread(target=replace, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % who for who in won] == [remote.read("old")]


def test_a_refusal_is_reported_at_once(remote: Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    proxy.fault = lambda method, path: "403"
    for name in ("create", "read", "names", "replace"):
        with pytest.raises(ManifestError, match="refused access"):
            CALLS[name][0](remote, tmp_path)
    assert proxy.requests.total() < 20


def test_the_end_of_the_patience_is_an_error_and_then_every_call_fails_at_once(
    remote: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPMILL_STORE_PATIENCE", "0.5")
    store = open_store(remote.url)
    proxy.fault = lambda method, path: "503"
    with pytest.raises(StoreUnavailable, match="503 ServiceUnavailable") as error:
        store.create("new", b"1")
    assert "CLIPMILL_STORE_PATIENCE=SECONDS" in error.value.remedy
    with proxy.refuses_connections():
        before = proxy.requests.total()
        with pytest.raises(StoreUnavailable, match="Could not connect to the endpoint"):
            store.create("other", b"1")
    proxy.fault = lambda method, path: ""
    assert proxy.requests.total() == before
    assert store.create("new", b"1")


def test_a_call_without_waiting_fails_at_once(remote: Store, proxy: FaultyProxy) -> None:
    proxy.fault = lambda method, path: "503"
    with without_waiting(), pytest.raises(StoreUnavailable):
        remote.read("old")


def test_an_outage_and_its_end_are_reported_once(
    remote: Store, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "_REPORT_AFTER_S", 0.2)
    calls = [threading.Thread(target=remote.create, args=(f"t/{n}", b"1")) for n in range(4)]
    calls += [threading.Thread(target=remote.read, args=("old",)) for _ in range(4)]
    with caplog.at_level(logging.WARNING, "clipmill.store"):
        for_a_while(proxy, "503", 1.2)
        for call in calls:
            call.start()
        for call in calls:
            call.join()
    first, last = (record.getMessage() for record in caplog.records)
    assert f"the store {remote.url} does not answer since " in first
    assert "(503 Service" in first
    assert f"the store {remote.url} answers again after " in last
    assert [line.partition(" from ")[0] for line in outage.take_ended_outages()] == [
        "the store did not answer"
    ]
    assert outage.take_ended_outages() == []


def test_ctrl_c_ends_the_wait_and_later_calls_do_not_wait(
    remote: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    proxy.fault = lambda method, path: "503"
    monkeypatch.setattr(outage.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remote.read("old")
    with pytest.raises(StoreUnavailable):
        remote.read("old")


@pytest.mark.parametrize("text", ["-1", "ten", "nan"])
def test_the_patience_is_a_number_of_seconds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPMILL_STORE_PATIENCE", text)
    with pytest.raises(InvalidSetting, match="no number of seconds"):
        store_patience_s()
