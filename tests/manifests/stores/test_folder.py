"""A folder as a store: races between processes, kills, full disks, symbolic links."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from manifests.errors import StoreFull, StoreUnusable
from manifests.stores import open_store
from manifests.stores.folder import FolderStore

Racers = Callable[[str, int, int], list[list[bool]]]


def test_one_of_many_processes_wins(racers: Racers, tmp_path: Path) -> None:
    rounds, writers = 40, 3
    won = racers(str(tmp_path), rounds, writers)
    for turn in range(rounds):
        winners = [who for who in range(writers) if won[who][turn]]
        assert len(winners) == 1
        assert FolderStore(tmp_path).read(f"race/{turn}") == bytes(winners) * 400_000
    assert [n for n in os.listdir(tmp_path / "race") if n.startswith(".")] == []


def test_a_kill_leaves_whole_files_or_none(tmp_path: Path) -> None:
    writing = (
        "import itertools; from manifests.stores.folder import FolderStore\n"
        f"store = FolderStore({str(tmp_path)!r})\n"
        "for n in itertools.count():\n"
        "    store.create(f't/{n}', bytes([n % 251]) * 3_000_000); print(n, flush=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", writing], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(3):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store = FolderStore(tmp_path)
    assert len(store.names("t")) >= 3
    for name in store.names("t"):
        assert store.read(f"t/{name}") == bytes([int(name) % 251]) * 3_000_000


def test_a_reader_never_sees_half_a_replaced_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.replace("lease", b"a" * 500_000)
    writing = (
        "from manifests.stores.folder import FolderStore\n"
        f"store = FolderStore({str(tmp_path)!r})\n"
        "for n in range(100): store.replace('lease', bytes([97 + n % 20]) * 500_000)"
    )
    child, seen = subprocess.Popen([sys.executable, "-c", writing]), set()
    while child.poll() is None:
        seen.add(store.read("lease"))
    assert child.returncode == 0
    assert len(seen) > 1
    assert {(len(data), len(set(data))) for data in seen} == {(500_000, 1)}


def test_a_full_disk_raises_and_leaves_no_files(tmp_path: Path) -> None:
    """On a real file system of 1 MB, in a mount namespace of its own."""
    script = (
        "import os, pathlib\n"
        "from manifests.errors import StoreFull\n"
        "from manifests.stores.folder import FolderStore\n"
        f"store = FolderStore({str(tmp_path / 'small' / 'store')!r})\n"
        "assert store.create('t/fits', b'x' * 100_000)\n"
        f"big = pathlib.Path({str(tmp_path / 'big')!r})\n"
        "big.write_bytes(b'x' * 3_000_000)\n"
        "for call in (lambda: store.create('t/b', b'x' * 3_000_000), lambda: store.move_in('t/c', big),\n"
        "            lambda: store.replace('t/fits', b'x' * 3_000_000)):\n"
        "    try: call(); raise SystemExit('it was not refused')\n"
        "    except StoreFull as error: print(error)\n"
        "assert os.listdir(store.root / 't') == ['fits'], os.listdir(store.root / 't')\n"
        "assert store.read('t/fits') == b'x' * 100_000\n"
        "assert store.create('t/still', b'y')\n"
    )
    (tmp_path / "small").mkdir()
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}/small"
    probe = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this machine lets no user mount a small file system, so no disk can be filled")
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$0" -c "$1"', sys.executable, script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("free some disk space") == 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_every_write_reports_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The same where nothing can be mounted: the kernel's answer at the moment a file gets its name."""
    store, file = FolderStore(tmp_path / "store"), tmp_path / "file"
    file.write_bytes(b"x")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    for name in ("link", "replace"):
        monkeypatch.setattr(os, name, full)
    for call in (
        lambda: store.create("a/b", b""),
        lambda: store.move_in("a/c", file),
        lambda: store.replace("a/d", b""),
    ):  # fmt: skip
        with pytest.raises(StoreFull, match="no space left"):
            call()
    assert os.listdir(tmp_path / "store" / "a") == []


def test_other_disk_errors_are_not_reported_as_full(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnusable, match="the store is not a folder"):
        FolderStore(tmp_path / "file").create("x", b"")


def test_a_link_inside_the_store_is_followed_and_never_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    store = FolderStore(tmp_path / "store")
    store.create("t/a", b"")
    (tmp_path / "store" / "t" / "link").symlink_to(elsewhere)
    (tmp_path / "store" / "t" / "dangling").symlink_to(tmp_path / "nowhere")
    assert store.create("t/link", b"new") is False
    assert store.create("t/dangling", b"new") is False
    assert elsewhere.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    store.replace("t/link", b"new")
    assert elsewhere.read_bytes() == b"mine"


def test_all_spellings_of_a_folder_open_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("films").create("x", b"1")
    for url in ("./films", "films/", "~/films", f"file://{tmp_path}/films", "a/../films"):
        assert open_store(url).read("x") == b"1"
        assert open_store(url).url == str(tmp_path / "films")


def test_nothing_is_written_before_something_is_created(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    assert store.names() == []
    assert list(store.walk()) == []
    assert not store.exists("x")
    assert not (tmp_path / "store").exists()


def test_dots_in_a_name_do_not_leave_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = FolderStore(tmp_path / "link")
    assert store.create("a..b/one..two.txt", b"x", durable=False)
    store.persist(["a..b/one..two.txt"])
    assert store.read("a..b/one..two.txt") == b"x"
