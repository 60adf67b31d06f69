"""Writes a clip as an mp4 file: the stored clip, or a new one that is cut out of the source."""

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import Artifact, ClipmillError, Row, Store
from manifests.errors import SchemaMismatch
from manifests.schema import rows_of
from pipeline import Reject
from stages.shards.cut_clip import CutClip, KeptClip
from stages.shards.sample import IMAGE_EXTENSIONS, read_index

if TYPE_CHECKING:
    import pyarrow as pa

_CUT_CLIP = f"{CutClip.__module__}:{CutClip.__name__}"


class StoredClip(Row):
    clip: Artifact | None = None
    shard: Artifact | None = None
    shard_index: Artifact | None = None
    shard_key: str | None = None
    shard_member: str | None = None


def write_clip(row: "pa.Table", store: Store, path: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the clip of a row to `path`.

    Args:
        row: A table with one row: the clip, with the columns of its video.
        store: The store that holds its files.
        path: The file to write.
        settings: The recorded settings of each stage of the run. A clip that is not stored is cut out of its
            source with those of CutClip.

    Raises:
        ClipmillError: the row is not a clip, or its source is missing or has changed.
    """
    (stored,) = rows_of(row, StoredClip, store)
    data = _stored_bytes(stored, store)
    if data is not None:
        path.write_bytes(data)
        return
    try:
        (kept,) = rows_of(row, KeptClip)
    except SchemaMismatch as error:
        remedy = "add --as sheet to see the stills that the scan stored"
        raise ClipmillError("this row is no clip: it has no start and no end", remedy=remedy) from error
    (cut,) = _cutter(settings.get(_CUT_CLIP, {})).annotate([_bound(kept, store)])
    if isinstance(cut, Reject):
        raise ClipmillError(
            f"the clip is not stored and cannot be cut out of its source: {cut}",
            where=kept.uri,
            remedy="add --as sheet to see the stills that the scan stored",
        )
    assert cut.clip.file is not None
    shutil.copyfile(cut.clip.file, path)  # with the permissions of a new file, not of a temporary one
    cut.clip.file.unlink()


def _stored_bytes(row: StoredClip, store: Store) -> bytes | None:
    """The clip as a file of its own or as a member of a shard; None if the store has neither."""
    if row.clip and store.exists(row.clip.path):
        return row.clip.read()
    if row.shard and row.shard_index and store.exists(row.shard.path) and store.exists(row.shard_index.path):
        media = ("mp4", *IMAGE_EXTENSIONS)
        names = {row.shard_member} if row.shard_member else {f"{row.shard_key}.{e}" for e in media}
        for member in read_index(row.shard_index):
            if member.name in names:
                return row.shard.read_range(member.offset, member.size)
    return None


def _cutter(recorded: Mapping[str, Any]) -> CutClip:
    """CutClip with the recorded settings, as far as this version has them."""
    known = {field.name for field in fields(CutClip)}
    values: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in recorded.items() if n in known
    }
    return CutClip(**values)


def _bound(row: KeptClip, store: Store) -> KeptClip:
    if row.signals is None or not store.exists(row.signals.path):
        return replace(row, signals=None)
    return replace(row, signals=row.signals.bind(store))
