"""Finds rows in earlier tables with the same content key, which are copied instead of computed again."""

from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from manifests.manifest import read_header
from manifests.store import Store
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline.engine.missing_files import artifact_columns, lacks_file, read_paths
from pipeline.grouped import is_made_again
from pipeline.planning.keys import SHORT
from pipeline.planning.plan import Plan, Step


def reusable_rows(
    plan: Plan, step: Step, number: int, ids: pa.Array, owner: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Rows of earlier tables, or some of their columns, whose `owner` is among `ids`.

    If an earlier table has the same source, a row can only be in the part of the same number. Otherwise
    all parts of the table are searched.

    Args:
        owner: Column to compare with `ids`: "id", or "parent" for a table of children.
        columns: Columns to read; by default all.
    """
    schema = step.schema if columns is None else pa.schema([step.schema.field(name) for name in columns])
    found = schema.empty_table()
    if is_made_again(step.node.work):
        return found
    for folder, same_root in _matching_tables(plan.store, plan, step):
        parts = [number] if same_root else _parts_with(plan.store, folder, owner, ids)
        for part in parts:
            name = f"{folder}/{part_name(part)}"
            if not plan.store.exists(name):
                continue
            rows = _with_files(plan, step, read_part(plan.store, name, columns), name, owner)
            missing = ids.filter(pc.invert(pc.is_in(ids, value_set=found.column(owner).combine_chunks())))
            matches = rows.filter(pc.is_in(rows.column(owner), value_set=missing))
            found = pa.concat_tables([found, matches.cast(schema)])
        if found.num_rows and len(pc.unique(found.column(owner))) == len(ids):
            break
    return found


def _with_files(plan: Plan, step: Step, rows: pa.Table, name: str, owner: str) -> pa.Table:
    """The rows of a part whose files exist; of children, those whose siblings all have their files."""
    paths = artifact_columns(step)
    if paths:
        named = read_paths(plan.store, name, paths, owner)
        lacking = named.filter(lacks_file(plan.store, plan.run, named, paths)).column(owner)
        if len(lacking):
            rows = rows.filter(pc.invert(pc.is_in(rows.column(owner), value_set=lacking.combine_chunks())))
    return rows.replace_schema_metadata(None)


def rejected_rows(plan: Plan, step: Step, number: int) -> pa.Array:
    """The ids of rows that earlier tables with this step's content key rejected; failed rows do not count.

    As in `reusable_rows`, only the part `number` of a table with the same source is read.
    """
    found: set[str] = set()
    tables = [] if is_made_again(step.node.work) else _matching_tables(plan.store, plan, step)
    for folder, same_root in tables:
        found |= _rejected_in(plan.store, plan.run, folder, number if same_root else None)
    return pa.array(sorted(found), pa.string())


@lru_cache(maxsize=256)
def _rejected_in(store: Store, run: str, folder: str, number: int | None) -> frozenset[str]:
    """The rows that one part of a table rejected, or all its parts (None). Read once per run and process."""
    found: set[str] = set()
    for part in parts_of(store, folder) if number is None else [number]:
        name = f"{folder}/{part_name(part)}"
        rejects_file = read_row_counts(store, name).rejects if store.exists(name) else ""
        if rejects_file:
            rejects = read_part(store, f"{folder}/{rejects_file}", ["id", "kind"])
            found.update(rejects.filter(pc.equal(rejects["kind"], "reject"))["id"].to_pylist())
    return frozenset(found)


def matching_tables(plan: Plan, step: Step) -> list[str]:
    """The folders of other tables with this step's content key, from which rows can be copied."""
    if is_made_again(step.node.work):
        return []
    return [folder for folder, _ in _matching_tables(plan.store, plan, step)]


def _matching_tables(store: Store, plan: Plan, step: Step) -> list[tuple[str, bool]]:
    """Other folders with this step's content key, and whether they have the same source."""
    return _matching_tables_of(store, plan.run, step.folder, step.keys.content, plan[step.root].folder)


@lru_cache(maxsize=256)
def _matching_tables_of(store: Store, run: str, own: str, content: str, root: str) -> list[tuple[str, bool]]:
    """Searched once per run and process: tables that appear later belong to another run."""
    found = []
    for folder in store.names():
        if folder.endswith(f"-{content[:SHORT]}") and folder != own:
            begun = read_header(store, folder)
            if begun and begun.keys["content"] == content:
                found.append((folder, begun.root == root))
    return sorted(found, key=lambda table: (not table[1], table[0]))


def _parts_with(store: Store, folder: str, owner: str, ids: pa.Array) -> list[int]:
    """The parts of a folder that hold some of these rows."""
    index = _index(store, folder, owner)
    return sorted({index[row] for row in ids.to_pylist() if row in index})


@lru_cache(maxsize=8)
def _index(store: Store, folder: str, owner: str) -> dict[str, int]:
    return {
        row: number
        for number in parts_of(store, folder)
        for row in read_part(store, f"{folder}/{part_name(number)}", [owner]).column(owner).to_pylist()
    }
