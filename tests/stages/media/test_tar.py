"""Tests of tar shards: the bytes are reproducible, and every tar reader reads them."""

import subprocess
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from webdataset.tariterators import group_by_keys, tar_file_expander

from stages.media.tar import index_bytes, index_table, pack_tar, write_tar

LONG = "folder-" + "x" * 90 + "/" + "y" * 80 + ".txt"
MEMBERS = [("a.mp4", b"film" * 300), ("a.json", b'{"k": 1}'), ("b/c.d.txt", b""), (LONG, "grüße".encode())]


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_tar(tmp_path / "1.tar", MEMBERS)
    second = write_tar(tmp_path / "2.tar", MEMBERS)
    assert first == second
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_the_index_locates_the_members(tmp_path: Path) -> None:
    members = write_tar(tmp_path / "1.tar", MEMBERS)
    (tmp_path / "1.parquet").write_bytes(index_bytes(members))
    data = (tmp_path / "1.tar").read_bytes()
    rows = pq.read_table(tmp_path / "1.parquet").to_pylist()
    assert rows == index_table(members).to_pylist()
    assert [r["member"] for r in rows] == [name for name, _ in MEMBERS]
    assert [r["key"] for r in rows] == ["a", "a", "b/c", LONG.removesuffix(".txt")]
    assert [data[r["offset"] : r["offset"] + r["size"]] for r in rows] == [content for _, content in MEMBERS]


def test_tarfile_and_gnu_tar_read_a_shard(tmp_path: Path) -> None:
    write_tar(tmp_path / "1.tar", MEMBERS)
    with tarfile.open(tmp_path / "1.tar") as tar:
        read = [(m.name, tar.extractfile(m).read(), m.mtime, m.uid, m.mode) for m in tar]  # type: ignore[union-attr]
    assert read == [(name, content, 0, 0, 0o444) for name, content in MEMBERS]
    listed = subprocess.run(["tar", "-tf", tmp_path / "1.tar"], capture_output=True, check=True, text=True)
    assert listed.stdout.split() == [name for name, _ in MEMBERS]
    assert listed.stderr == ""


def test_webdataset_reads_a_shard(tmp_path: Path) -> None:
    write_tar(tmp_path / "1.tar", MEMBERS[:2])
    with (tmp_path / "1.tar").open("rb") as stream:  # `WebDataset` does not close its files
        files = tar_file_expander([{"url": "1.tar", "stream": stream}])
        samples = list(group_by_keys(files))
    assert [(s["__key__"], s["mp4"], s["json"]) for s in samples] == [("a", MEMBERS[0][1], MEMBERS[1][1])]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "z" * 101, "a\0b"])
def test_an_invalid_name_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        write_tar(tmp_path / "1.tar", [(name, b"")])


def test_a_duplicate_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two members"):
        write_tar(tmp_path / "1.tar", [("a", b"1"), ("a", b"2")])


def test_a_tar_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="two members"):
        pack_tar("shards/000000", [("a.txt", b"1"), ("a.txt", b"2")], dict)
    assert list(tmp_path.rglob("*.tar")) == []
    tar, index = pack_tar("shards/000000", [("a.txt", b"1")], lambda: {"samples": "1"})
    assert (tar.path, index.path) == ("shards/000000.tar", "shards/000000.parquet")
