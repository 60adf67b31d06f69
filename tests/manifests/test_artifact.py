"""Artifacts: stored once under their digest or a chosen name, read whole or in ranges, and checked."""

import hashlib
import pickle
from pathlib import Path

import pytest

from manifests import Artifact
from manifests.errors import Damaged, ManifestError
from manifests.store import Store
from manifests.stores.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "store")


def local(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "local.tar"
    file.write_bytes(data)
    return file


def test_content_names_the_file(store: Store) -> None:
    artifact = Artifact.of(b"stills", ".jpg")
    kept = artifact.save(store, "scan-1")
    digest = hashlib.sha256(b"stills").hexdigest()
    assert kept.path == f"scan-1/artifacts/{digest[:2]}/{digest}.jpg"
    assert (kept.size_bytes, kept.sha256) == (6, digest)
    assert kept.read() == b"stills"
    assert kept.read_range(2, 3) == b"ill"
    with kept.local() as path:
        assert path.suffix == ".jpg"
        assert path.read_bytes() == b"stills"
    assert artifact.save(store, "scan-1") == kept


def test_a_stage_can_choose_the_name_and_a_local_file_is_moved(store: Store, tmp_path: Path) -> None:
    file = local(tmp_path, b"shard")
    kept = Artifact.of_file(file, name="shards/000001.tar").save(store, "pack-1")
    assert kept.path == "pack-1/shards/000001.tar"
    assert not file.exists()
    assert kept.read() == b"shard"
    assert Artifact.of_file(local(tmp_path, b"clip")).save(store, "x").path.endswith(".tar")


def test_an_artifact_can_be_read_before_it_is_stored(tmp_path: Path) -> None:
    for artifact in (Artifact.of(b"012345", ".x"), Artifact.of_file(local(tmp_path, b"012345"))):
        assert artifact.read() == b"012345"
        assert artifact.read_range(2, 2) == b"23"


@pytest.mark.parametrize("other", [b"longer than the first", b"secnd"])
def test_two_files_under_one_name_are_an_error(store: Store, tmp_path: Path, other: bytes) -> None:
    Artifact.of(b"first", ".tar", name="shards/1.tar").save(store, "p")
    with pytest.raises(ManifestError, match="two different files") as error:
        Artifact.of(other, ".tar", name="shards/1.tar").save(store, "p")
    assert "shards/1.tar" in error.value.where
    with pytest.raises(ManifestError, match="two different files"):
        Artifact.of_file(local(tmp_path, other), name="shards/1.tar").save(store, "p")
    assert store.read("p/shards/1.tar") == b"first"


def test_the_same_file_twice_is_no_error(store: Store, tmp_path: Path) -> None:
    first = Artifact.of(b"first", ".tar", name="shards/1.tar").save(store, "p")
    assert Artifact.of_file(local(tmp_path, b"first"), name="shards/1.tar").save(store, "p") == first


def test_a_damaged_artifact_raises(store: Store) -> None:
    kept = Artifact.of(b"stills", ".jpg").save(store, "s")
    store.replace(kept.path, b"STILLS")
    with pytest.raises(Damaged, match="does not match its digest") as error:
        kept.read()
    assert kept.path in error.value.where


@pytest.mark.parametrize("name", ["../out.tar", "/etc/out.tar", "a/../../out.tar"])
def test_no_artifact_leaves_its_folder(store: Store, name: str) -> None:
    with pytest.raises(ManifestError, match="leaves its folder"):
        Artifact.of(b"x", ".tar", name=name).save(store, "p")
    with pytest.raises(ManifestError, match="leaves its folder"):
        Artifact(name, 1, "0" * 64, store=store).read()


def test_an_artifact_needs_a_store(store: Store) -> None:
    loose = Artifact("s/x", 1, "0" * 64)
    with pytest.raises(ManifestError, match="not bound to a store"):
        loose.read()
    store.create("s/x", b"1")
    assert loose.bind(store).read_range(0, 1) == b"1"


def test_equal_content_in_an_equal_place_is_equal_and_travels(store: Store) -> None:
    kept = Artifact.of(b"stills", ".jpg").save(store, "s")
    again = pickle.loads(pickle.dumps(kept))  # noqa: S301
    assert again == kept
    assert again.read() == b"stills"
    assert Artifact.of(b"a", ".x") != Artifact.of(b"b", ".x")


def test_a_pending_artifact_has_a_local_path_while_it_is_read() -> None:
    with Artifact.of(b"abc", ".jpg").local() as path:
        assert (path.read_bytes(), path.suffix) == (b"abc", ".jpg")
    assert not path.exists()
