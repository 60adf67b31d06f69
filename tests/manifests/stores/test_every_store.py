"""The contract of a store, tested with a folder, the memory file system of fsspec and a local S3 server."""

import pickle
import threading
from pathlib import Path

import pytest

from manifests.errors import ManifestError
from manifests.store import Store
from manifests.stores.folder import FolderStore

ODD = [
    "a b.txt", "ümlaut/日本.bin", "plus+and&.json", "per%20cent", "quo'te\".x",
    "eq=uals/part-000000.parquet", "q?mark", "ha#sh", "star*[1]",
]  # fmt: skip


def test_the_first_writer_of_a_name_wins(store: Store) -> None:
    assert store.create("t/part.bin", b"first") is True
    assert store.create("t/part.bin", b"second") is False
    assert store.read("t/part.bin") == b"first"


def test_move_in_always_removes_the_local_file(store: Store, tmp_path: Path) -> None:
    for data, fresh in ((b"first", True), (b"second", False)):
        file = tmp_path / "local.bin"
        file.write_bytes(data)
        assert store.move_in("t/clip.bin", file) is fresh
        assert not file.exists()
    assert store.read("t/clip.bin") == b"first"


def test_one_of_many_threads_wins_and_the_content_is_whole(store: Store) -> None:
    size, rounds, writers = 200_000, 4, 6
    for turn in range(rounds):
        start, won = threading.Barrier(writers), []

        def write(who: int, turn: int = turn, start: threading.Barrier = start, won: list[int] = won) -> None:
            start.wait()
            if store.create(f"race/{turn}", bytes([who]) * size):
                won.append(who)

        threads = [threading.Thread(target=write, args=(who,)) for who in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.read(f"race/{turn}") == bytes(won) * size


def test_replace_overwrites_a_file(store: Store) -> None:
    store.replace("lease", b"one")
    store.replace("lease", b"two, longer")
    assert store.read("lease") == b"two, longer"


def test_ranges_are_clipped_at_the_end(store: Store) -> None:
    store.create("r", b"0123456789")
    calls = [(0, 4), (3, 4), (8, 9), (10, 1), (99, 1), (4, None), (10, None), (4, 0), (0, 10)]
    assert [store.read("r", *a) for a in calls] == [
        b"0123", b"3456", b"89", b"", b"", b"456789", b"", b"", b"0123456789",
    ]  # fmt: skip


def test_an_empty_file_is_a_file(store: Store) -> None:
    assert store.create("empty", b"")
    assert (store.read("empty"), store.size("empty"), store.exists("empty")) == (b"", 0, True)
    assert store.read("empty", 0, 5) == b""
    assert not store.create("empty", b"x")


def test_a_missing_name_is_a_missing_file(store: Store) -> None:
    store.create("there", b"x")
    for call in (store.read, store.size, lambda n: store.read(n, 1, 2), lambda n: store.read(n, 0, 0)):
        with pytest.raises(FileNotFoundError):
            call("not/there")
    with pytest.raises(FileNotFoundError), store.local("not/there"):
        pass
    assert not store.exists("not/there")
    assert store.names("not/there") == []
    assert list(store.walk("not/there")) == []
    store.remove("not/there")


def test_names_and_walk_list_existing_files(store: Store) -> None:
    for name in ("b/2", "b/10", "b/deep/er/x", "a", "ab/c", "z/last"):
        store.create(name, b"")
    assert store.names() == ["a", "ab", "b", "z"]
    assert store.names("b") == ["10", "2", "deep"]
    assert store.names("a") == []
    assert sorted(store.walk()) == ["a", "ab/c", "b/10", "b/2", "b/deep/er/x", "z/last"]
    assert sorted(store.walk("b")) == ["b/10", "b/2", "b/deep/er/x"]
    assert [n for n in store.walk() if n.startswith("b/") and n.count("/") == 1] == ["b/10", "b/2"]


def test_a_link_has_the_content_of_its_file_and_outlives_it(store: Store) -> None:
    store.create("old/a.tar", b"shard")
    assert store.link("new/deep/a.tar", "old/a.tar")
    assert not store.link("new/deep/a.tar", "old/a.tar")
    store.remove("old/a.tar")
    assert store.read("new/deep/a.tar") == b"shard"
    with pytest.raises(FileNotFoundError):
        store.link("new/b.tar", "old/a.tar")
    assert not store.exists("new/b.tar")


def test_files_lists_all_files_with_sizes(store: Store) -> None:
    for name, size in (("t/b/.hidden", 3), ("t/a", 0), ("t/b/c", 5), ("u", 7)):
        store.create(name, b"x" * size)
    assert [(f.name, f.size_bytes) for f in store.files("t")] == [
        ("t/a", 0),
        ("t/b/.hidden", 3),
        ("t/b/c", 5),
    ]
    assert store.files("nowhere") == []
    store.link("t/d", "t/b/c")
    linked = [file for file in store.files() if file.size_bytes == 5]
    shares = {file.content for file in linked}
    assert len(linked) == 2
    assert [file.links for file in linked] == ([2, 2] if len(shares) == 1 else [1, 1])


def test_remove_folder_leaves_other_folders(store: Store) -> None:
    for name in ("t/pieces/a/1", "t/pieces/b", "t/pieces2", "t/part"):
        store.create(name, b"")
    store.remove_folder("t/pieces")
    store.remove_folder("t/pieces")
    assert list(store.walk()) == ["t/part", "t/pieces2"]
    assert store.names("t") == ["part", "pieces2"]


def test_a_listing_is_never_stale(store: Store) -> None:
    """A resume is a listing: what another process wrote a moment ago must be in it."""
    other = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert store.names("t") == []
    for number in range(3):
        other.create(f"t/{number}", b"")
        assert store.names("t") == [str(n) for n in range(number + 1)]
        assert sorted(store.walk("t")) == [f"t/{n}" for n in range(number + 1)]
        assert store.exists(f"t/{number}")
    other.remove("t/1")
    assert store.names("t") == ["0", "2"]
    assert not store.exists("t/1")


@pytest.mark.parametrize("name", ODD)
def test_unusual_names_are_preserved(store: Store, name: str) -> None:
    assert store.create(name, name.encode())
    assert not store.create(name, b"")
    assert store.read(name) == name.encode()
    assert list(store.walk()) == [name]
    assert store.names() == [name.split("/")[0]]
    with store.local(name) as path:
        assert path.read_bytes() == name.encode()


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/clipmill-test", ".."])
def test_no_name_leaves_the_store(store: Store, name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_bytes(b"x")
    calls = [
        lambda: store.create(name, b""), lambda: store.replace(name, b""), lambda: store.move_in(name, file),
        lambda: store.read(name), lambda: store.exists(name), lambda: store.remove(name),
        lambda: store.remove_folder(name), lambda: store.names(name), lambda: store.scratch(name),
        lambda: list(store.walk(name)),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ManifestError, match="leaves the store"):
            call()
    assert file.exists()


def test_a_local_copy_has_the_content_and_its_suffix(store: Store) -> None:
    store.create("v/film.mp4", b"pixels")
    with store.local("v/film.mp4") as path:
        assert path.suffix == ".mp4"
        assert path.read_bytes() == b"pixels"


def test_scratch_survives_and_belongs_to_its_name(store: Store) -> None:
    here = store.scratch("t/part-000001.parquet")
    (here / "journal").write_bytes(b"rows")
    again = pickle.loads(pickle.dumps(store)).scratch("t/part-000001.parquet")  # noqa: S301
    assert (again / "journal").read_bytes() == b"rows"
    above, other = store.scratch("t"), store.scratch("t/part-000002.parquet")
    assert len({here, above, other}) == 3
    assert not here.is_relative_to(above)
    assert store.names("t") == []
    assert list(store.walk()) == []


def test_a_folder_appends_and_other_stores_say_that_they_cannot(store: Store) -> None:
    appends = isinstance(store, FolderStore)
    assert [store.append("logs/a.jsonl", data) for data in (b"one\n", b"two\n")] == [appends] * 2
    assert store.names("logs") == (["a.jsonl"] if appends else [])
    if appends:
        assert store.read("logs/a.jsonl") == b"one\ntwo\n"


def test_a_store_counts_the_bytes_of_the_files_that_it_created(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "moved"
    file.write_bytes(b"12345")
    assert store.create("a", b"123")
    assert not store.create("a", b"123")
    assert store.move_in("b", file)
    assert store.bytes_written == 8
