"""Finds rows in earlier tables with the same content key, which are copied instead of computed again.

A row is in the part of the row of the source that it descends from. So a table with the same source is
searched in the part of the same number, and another table in the parts in which its source has the same
rows. A source that grew repeats no work, and each part reads few parts of earlier tables.
"""

from collections.abc import Sequence
from functools import lru_cache, partial

import pyarrow as pa
import pyarrow.compute as pc

from manifests.manifest import read_header
from manifests.store import Store
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline.engine.inputs import in_parallel, passed_ids
from pipeline.engine.missing_files import artifact_columns, lacks_file, read_paths
from pipeline.grouped import is_made_again
from pipeline.planning.keys import SHORT
from pipeline.planning.plan import Plan, Step

_SOURCE_ROWS = pa.schema([pa.field("id", pa.string()), pa.field("part", pa.int32())])


def reusable_rows(
    plan: Plan,
    step: Step,
    number: int,
    ids: pa.Array,
    owner: str,
    columns: Sequence[str] | None = None,
    source_ids: pa.Array | None = None,
) -> pa.Table:
    """Rows of earlier tables, or some of their columns, whose `owner` is among `ids`.

    Args:
        owner: Column to compare with `ids`: "id", or "parent" for a table of children.
        columns: Columns to read; by default all.
        source_ids: Ids of the rows of this part of the source. By default they are read.
    """
    schema = step.schema if columns is None else pa.schema([step.schema.field(name) for name in columns])
    found = schema.empty_table()
    if is_made_again(step.node.work):
        return found
    for folder, source in _matching_tables(plan.store, plan, step):
        for part in _parts_to_search(plan, step, number, source_ids, source):
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


def rejected_rows(plan: Plan, step: Step, number: int, source_ids: pa.Array | None = None) -> pa.Array:
    """The ids of rows that earlier tables with this step's content key rejected; failed rows do not count.

    Arguments as of `reusable_rows`.
    """
    found: set[str] = set()
    tables = [] if is_made_again(step.node.work) else _matching_tables(plan.store, plan, step)
    for folder, source in tables:
        for part in _parts_to_search(plan, step, number, source_ids, source):
            found |= _rejected_in(plan.store, plan.run, folder, part)
    return pa.array(sorted(found), pa.string())


@lru_cache(maxsize=256)
def _rejected_in(store: Store, run: str, folder: str, number: int) -> frozenset[str]:
    """The rows that a part of a table rejected. Read once per run and process."""
    name = f"{folder}/{part_name(number)}"
    rejects_file = read_row_counts(store, name).rejects if store.exists(name) else ""
    if not rejects_file:
        return frozenset()
    rejects = read_part(store, f"{folder}/{rejects_file}", ["id", "kind"])
    return frozenset(rejects.filter(pc.equal(rejects["kind"], "reject"))["id"].to_pylist())


def matching_tables(plan: Plan, step: Step) -> list[str]:
    """The folders of other tables with this step's content key, from which rows can be copied."""
    if is_made_again(step.node.work):
        return []
    return [folder for folder, _ in _matching_tables(plan.store, plan, step)]


def _matching_tables(store: Store, plan: Plan, step: Step) -> list[tuple[str, str]]:
    """Other folders with this step's content key, and the folders of their sources; the same source first."""
    return _matching_tables_of(store, plan.run, step.folder, step.keys.content, plan[step.root].folder)


@lru_cache(maxsize=256)
def _matching_tables_of(store: Store, run: str, own: str, content: str, root: str) -> list[tuple[str, str]]:
    """Searched once per run and process: tables that appear later belong to another run."""
    found = []
    for folder in store.names():
        if folder.endswith(f"-{content[:SHORT]}") and folder != own:
            begun = read_header(store, folder)
            if begun and begun.keys["content"] == content:
                found.append((folder, begun.root))
    return sorted(found, key=lambda table: (table[1] != root, table[0]))


def _parts_to_search(
    plan: Plan, step: Step, number: int, source_ids: pa.Array | None, source: str
) -> list[int]:
    """The parts that can hold rows of part `number` of a step, of a table with the source `source`."""
    if plan[step.root].folder == source:
        return [number]
    ids = passed_ids(plan, plan[step.root], number) if source_ids is None else source_ids
    rows = _rows_of_source(plan.store, plan.run, source)
    if not rows.num_rows:
        return []
    places = pc.min_element_wise(pc.search_sorted(rows["id"], ids), rows.num_rows - 1)
    found = rows.take(places)
    parts: list[int] = pc.unique(found["part"].filter(pc.equal(found["id"], ids))).to_pylist()
    return parts


@lru_cache(maxsize=4)
def _rows_of_source(store: Store, run: str, folder: str) -> pa.Table:
    """The ids of all rows of a source, sorted, each with its part. Read once per run and process."""
    numbers = parts_of(store, folder)
    names = [f"{folder}/{part_name(number)}" for number in numbers]
    tables = in_parallel(store, partial(read_part, store, columns=["id"]), names)
    rows = [
        pa.table([table["id"], pa.repeat(pa.scalar(number, pa.int32()), len(table))], _SOURCE_ROWS)
        for number, table in zip(numbers, tables, strict=True)
    ]
    return pa.concat_tables([_SOURCE_ROWS.empty_table(), *rows]).sort_by("id").combine_chunks()
