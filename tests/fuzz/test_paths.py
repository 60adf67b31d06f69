"""Paths in tars and in the files of a store cannot leave their folder."""

import io
import json
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_store import make_store

from manifests import Artifact, ManifestError
from manifests.catalog import tables_of
from manifests.verbs.validation import check
from stages.ingest.list_videos import ListVideos
from stages.latents.read_samples import ListedShard, ReadSamples

NAMES = ("../../outside", "/etc/passwd", "a/../../../outside", "..", "\0", "x" * 5000)
LINKS = (
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
)


def test_members_of_a_tar_write_and_read_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"the secret film")
    tar_path = tmp_path / "in" / "a.tar"
    tar_path.parent.mkdir()
    with tarfile.open(tar_path, "w") as tar:
        for number, kind in enumerate(LINKS):
            info = tarfile.TarInfo(f"link{number}.mp4")
            info.type, info.linkname = kind, str(tmp_path / "secret.mp4")
            tar.addfile(info)
        for name in ("../../outside.mp4", "/etc/outside.mp4", "a/../../outside.mp4"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"film"))
    before = sorted(tmp_path.rglob("*"))
    rows = list(ListVideos(root=str(tar_path)).rows())
    assert [row.size_bytes for row in rows] == [4, 4, 4]
    assert not any(".." in row.source.split("/") or row.source.startswith("/") for row in rows)
    samples = list(ReadSamples().expand(ListedShard(uri=str(tar_path), source="a.tar")))
    assert {sample.media_bytes for sample in samples} <= {0, 4}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_store_stay_inside(name: str, tmp_path: Path) -> None:
    small = make_store(tmp_path / "store")
    (tmp_path / "outside").write_bytes(b"outside")
    for file in ("manifest.json", "table.json"):
        for field in ("base", "root", "inputs"):
            root = tmp_path / f"{file}-{field}"
            shutil.copytree(tmp_path / "store", root)
            path = root / small.motion / file
            record = json.loads(path.read_text())
            record[field] = [name] if field == "inputs" else name
            path.write_text(json.dumps(record))
            store = type(small.store)(root)
            with suppress(ManifestError):
                check(store, tables_of(store), deep=True)
    artifact = Artifact(path=name, size_bytes=7, sha256="0" * 64, store=small.store)
    with pytest.raises((ManifestError, OSError, ValueError)):
        artifact.read()
    with pytest.raises((ManifestError, OSError, ValueError)):
        Artifact.of(b"x", ".jpg", name=name).save(small.store, small.motion)
    assert (tmp_path / "outside").read_bytes() == b"outside"


def test_rejects_that_a_footer_names_stay_inside(tmp_path: Path) -> None:
    small = make_store(tmp_path / "store")
    path = small.store.root / small.motion / "part-000000.parquet"
    table = pq.read_table(path)
    counts = json.loads(table.schema.metadata[b"clipmill"])
    footer = json.dumps({**counts, "rejects": "../../../outside.parquet"})
    pq.write_table(table, tmp_path / "outside.parquet")
    pq.write_table(table.replace_schema_metadata({b"clipmill": footer}), path)
    result = check(small.store, tables_of(small.store), deep=True)
    assert result.faults
