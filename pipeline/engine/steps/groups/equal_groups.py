"""Reuses groups of earlier surveys: an equal group gets the same columns, and its files get a second name.

A group is equal if the stage, its settings, the name of the group, the rows and what `settle` uses of the
fitted parameters are equal. The place of an artifact does not count, only its content.
"""

from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.artifact import Artifact
from manifests.identity import digest_of
from manifests.manifest import read_header
from manifests.schema import ARTIFACT, table_of
from manifests.store import Store
from manifests.table import read_part, read_row_counts
from pipeline.engine.steps.groups.batches import PART
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Survey

_GROUP_KEY = b"group_key"  # in the metadata of the file of a settled group


def group_key(step: Step, stage: Survey[Any, Any], group: str, rows: pa.Table, fitted: bytes) -> str:
    """The key of a group, or "" if the groups of the stage are not reused."""
    used = stage.group_inputs(group, fitted)
    if used is None:
        return ""
    columns = {name: _content(rows.column(name)) for name in rows.column_names if name != PART}
    adds = [f"{field.name} {field.type}" for field in step.schema]
    return digest_of("group", step.made_by(), adds, group, used, columns)


def with_key(settled: pa.Table, key: str) -> pa.Table:
    """The settled rows of a group with the key of the group."""
    return settled.replace_schema_metadata({_GROUP_KEY: key.encode()}) if key else settled


def equal_group(
    plan: Plan, step: Step, group: str, key: str, rows: pa.Table, schema: pa.Schema
) -> pa.Table | None:
    """The settled rows of an equal group of an earlier table, with its files linked into this table.

    Args:
        rows: The rows of the group, with the parts in which they are now.
        schema: Schema of settled rows.

    Returns None if there is no such group, one of its files is missing, or it has rejected rows.
    """
    store = plan.store
    for folder in _earlier_tables(store, plan.run, step.folder, str(step.made_by()["stage"])) if key else ():
        name = f"{folder}/settled/{group}.parquet"
        try:
            if _read_key(store, name) != key or read_row_counts(store, name).rejects:
                continue
            settled = read_part(store, name)
            linked = {file.path: _link(store, file, folder, step.folder) for file in _files(settled)}
        except FileNotFoundError:
            continue
        if all(linked.values()):
            return _moved(settled, linked, rows, schema)
    return None


def _content(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; of artifacts their digests."""
    if column.type == ARTIFACT:
        column = column.combine_chunks().field("sha256")
    values: list[Any] = column.to_pylist()
    return values


@lru_cache(maxsize=64)
def _earlier_tables(store: Store, run: str, own: str, stage: str) -> tuple[str, ...]:
    """The tables of a stage, besides `own`. Searched once per run and process."""
    headers = ((name, read_header(store, name)) for name in store.names() if "." not in name and name != own)
    return tuple(name for name, header in headers if header and header.made_by.get("stage") == stage)


def _read_key(store: Store, name: str) -> str:
    with store.local(name) as path:
        metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
        return metadata.get(_GROUP_KEY, b"").decode()


def _files(settled: pa.Table) -> list[Artifact]:
    """The artifacts that settled rows name, each once."""
    columns = [column for column in settled.columns if column.type == ARTIFACT]
    named = {value["path"]: value for column in columns for value in column.to_pylist() if value}
    return [Artifact(**value) for value in named.values()]


def _link(store: Store, file: Artifact, folder: str, new: str) -> str:
    """Give a file the same name in the folder `new`. Returns the new path, or "" if that is impossible."""
    if not file.path.startswith(f"{folder}/") or store.size(file.path) != file.size_bytes:
        return ""
    target = f"{new}{file.path.removeprefix(folder)}"
    is_linked = store.link(target, file.path) or file.is_stored_at(store, target)
    return target if is_linked else ""


def _moved(settled: pa.Table, linked: dict[str, str], rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The settled rows with the new paths of their files, and the parts in which the rows are now."""
    parts = dict(zip(rows["id"].to_pylist(), rows[PART].to_pylist(), strict=True))
    records = [
        {name: _with_new_path(value, linked) for name, value in record.items()}
        | {"part": parts[record["id"]]}
        for record in settled.to_pylist()
    ]
    return table_of(records, schema)


def _with_new_path(value: Any, linked: dict[str, str]) -> Any:
    if isinstance(value, dict) and value.keys() == {"path", "size_bytes", "sha256"}:
        return Artifact(**{**value, "path": linked[value["path"]]})
    return value
