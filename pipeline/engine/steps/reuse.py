"""Rows that an earlier table with the same content key holds: they are copied, not worked on again."""

from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from manifests.manifest import read_header
from manifests.store import Store
from manifests.table import part_name, parts_of, read_part
from pipeline.planning.keys import SHORT
from pipeline.planning.plan import Plan, Step


def known_rows(
    plan: Plan, step: Step, number: int, ids: pa.Array, owner: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Rows of earlier tables, or some columns, whose `owner` ("id", or a child's "parent") is among `ids`.

    Where the earlier table follows the same source, a row can only be in the part of the same
    number; elsewhere all its parts are searched.
    """
    schema = step.schema if columns is None else pa.schema([step.schema.field(name) for name in columns])
    found = schema.empty_table()
    for folder, same_root in _kin(plan.store, plan, step):
        parts = [number] if same_root else _homes(plan.store, folder, owner, ids)
        for part in parts:
            name = f"{folder}/{part_name(part)}"
            if not plan.store.exists(name):
                continue
            rows = read_part(plan.store, name, columns).replace_schema_metadata(None)
            missing = ids.filter(pc.invert(pc.is_in(ids, value_set=found.column(owner).combine_chunks())))
            hits = rows.filter(pc.is_in(rows.column(owner), value_set=missing))
            found = pa.concat_tables([found, hits.cast(schema)])
        if found.num_rows and len(pc.unique(found.column(owner))) == len(ids):
            break
    return found


def _kin(store: Store, plan: Plan, step: Step) -> list[tuple[str, bool]]:
    """Other folders with this step's content key, and whether they follow the same source."""
    return _kin_in_run(store, plan.run, step.folder, step.keys.content, plan[step.root].folder)


@lru_cache(maxsize=256)
def _kin_in_run(store: Store, run: str, own: str, content: str, root: str) -> list[tuple[str, bool]]:
    """Looked up once per run and process: tables that appear meanwhile are another run's."""
    found = []
    for folder in store.names():
        if folder.endswith(f"-{content[:SHORT]}") and folder != own:
            begun = read_header(store, folder)
            if begun and begun.keys["content"] == content:
                found.append((folder, begun.root == root))
    return sorted(found, key=lambda kin: (not kin[1], kin[0]))


def _homes(store: Store, folder: str, owner: str, ids: pa.Array) -> list[int]:
    """The parts of a folder in which some of these rows are."""
    index = _index(store, folder, owner)
    return sorted({index[row] for row in ids.to_pylist() if row in index})


@lru_cache(maxsize=8)
def _index(store: Store, folder: str, owner: str) -> dict[str, int]:
    return {
        row: number
        for number in parts_of(store, folder)
        for row in read_part(store, f"{folder}/{part_name(number)}", [owner]).column(owner).to_pylist()
    }
