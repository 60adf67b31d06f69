"""Comparison of two stores or tables: rows that only one of them has, and values that differ.

The first of the two is called "here", the second "there".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.catalog import Table, tables_of
from manifests.schema import ARTIFACT
from manifests.store import Store

_MAX_EXAMPLES = 5  # of each kind
_NOT_COMPARED = {"id", "rule", "where"}  # "id" pairs the rows; `settings` reports a changed rule


@dataclass(frozen=True)
class Change:
    """A column that differs: the number of rows, and some of them as (id, value here, value there)."""

    rows: int
    examples: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class Difference:
    """The differences between two tables of one step.

    Attributes:
        node, kind: Name of the step, and the kind of its table.
        here, there: Folders of the tables; "" if that store has no such step.
        rows_in_both: Number of rows with an id that both tables have.
        only_here, only_there: Numbers of rows that only one table has.
        examples: Some ids of these rows, by "only_here" and "only_there".
        columns_only_here, columns_only_there: Columns that only one table has.
        changed: Columns whose values differ in rows that both tables have.
        settings: Settings, version or rule of the step that differ, as (here, there).
    """

    node: str
    kind: str
    here: str
    there: str
    rows_in_both: int = 0
    only_here: int = 0
    only_there: int = 0
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns_only_here: tuple[str, ...] = ()
    columns_only_there: tuple[str, ...] = ()
    changed: Mapping[str, Change] = field(default_factory=dict)
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        """Whether both tables exist and hold the same rows with the same values."""
        rows = self.only_here or self.only_there
        columns = self.columns_only_here or self.columns_only_there or self.changed
        return bool(self.here and self.there and not rows and not columns)


def compare_stores(here: Store, there: Store) -> Iterator[Difference]:
    """Compare two stores step by step. Tables with the same folder name have equal keys and are compared too.

    If a step has several tables, from earlier settings, tables with the same name are paired first, then the
    remaining ones in the order of their names.
    """
    tables_here, tables_there = _by_node(here), _by_node(there)
    for node in dict.fromkeys((*tables_here, *tables_there)):
        left, right = tables_here.get(node, {}), tables_there.get(node, {})
        for folder in [name for name in left if name in right]:
            yield compare(left.pop(folder), right.pop(folder))
        for pair in zip(list(left.values()), list(right.values()), strict=False):
            yield compare(*pair)
        count = min(len(left), len(right))
        yield from (Difference(node, t.manifest.kind, t.folder, "") for t in list(left.values())[count:])
        yield from (Difference(node, t.manifest.kind, "", t.folder) for t in list(right.values())[count:])


def compare(here: Table, there: Table) -> Difference:
    """Compare two tables row by row. Complete tables with equal digests are equal and are not read."""
    names = here.manifest.node, here.manifest.kind, here.folder, there.folder
    settings = _changed_settings(here, there)
    if here.complete_manifest and there.complete_manifest and _digests(here) == _digests(there):
        return Difference(*names, rows_in_both=here.manifest.row_counts.rows_out, settings=settings)
    one, two = here.read(), there.read()
    ids = one.column("id").combine_chunks(), two.column("id").combine_chunks()
    at = pc.index_in(ids[0], value_set=ids[1])
    only_here = ids[0].filter(pc.is_null(at))
    only_there = ids[1].filter(pc.invert(pc.is_in(ids[1], value_set=ids[0])))
    one, two = one.filter(pc.is_valid(at)), two.take(at.drop_null())
    shared = [name for name in one.column_names if name in two.column_names and name not in _NOT_COMPARED]
    changes = {name: _change(one.column("id"), one.column(name), two.column(name)) for name in shared}
    return Difference(
        *names,
        rows_in_both=one.num_rows,
        only_here=len(only_here),
        only_there=len(only_there),
        examples={
            "only_here": tuple(only_here[:_MAX_EXAMPLES].to_pylist()),
            "only_there": tuple(only_there[:_MAX_EXAMPLES].to_pylist()),
        },
        columns_only_here=tuple(name for name in one.column_names if name not in two.column_names),
        columns_only_there=tuple(name for name in two.column_names if name not in one.column_names),
        changed={name: change for name, change in changes.items() if change.rows},
        settings=settings,
    )


def _by_node(store: Store) -> dict[str, dict[str, Table]]:
    tables: dict[str, dict[str, Table]] = {}
    for table in tables_of(store):
        tables.setdefault(table.manifest.node, {})[table.folder] = table
    return tables


def _digests(table: Table) -> list[str]:
    assert table.complete_manifest
    return [part.sha256 for part in table.complete_manifest.parts]


def _changed_settings(here: Table, there: Table) -> dict[str, tuple[Any, Any]]:
    one, two = _flatten(here.manifest.made_by), _flatten(there.manifest.made_by)
    return {k: (one.get(k), two.get(k)) for k in {**one, **two} if one.get(k) != two.get(k)}


def _flatten(made_by: Mapping[str, Any]) -> dict[str, Any]:
    settings = made_by.get("settings", {})
    return {k: v for k, v in made_by.items() if k != "settings"} | dict(settings)


def _change(ids: pa.ChunkedArray, here: pa.ChunkedArray, there: pa.ChunkedArray) -> Change:
    """Compare two columns of the same rows. NaN equals NaN; artifacts are equal if their content is equal."""
    differs = _differs(here, there)
    where = pc.indices_nonzero(differs)
    shown = where[:_MAX_EXAMPLES]
    examples = zip(
        ids.take(shown).to_pylist(), here.take(shown).to_pylist(), there.take(shown).to_pylist(), strict=True
    )
    return Change(len(where), tuple(examples))


def _differs(here: pa.ChunkedArray, there: pa.ChunkedArray) -> pa.Array:
    if here.type == there.type == ARTIFACT:
        return _differs(pc.struct_field(here, "sha256"), pc.struct_field(there, "sha256"))
    if here.type != there.type or pa.types.is_nested(here.type):
        pairs = zip(here.to_pylist(), there.to_pylist(), strict=True)
        return pa.array([repr(one) != repr(two) for one, two in pairs], pa.bool_())
    one, two = here.combine_chunks(), there.combine_chunks()
    differs = pc.not_equal(one, two)
    if pa.types.is_floating(here.type):
        differs = pc.and_(differs, pc.invert(pc.and_(pc.is_nan(one), pc.is_nan(two))))
    return pc.fill_null(differs, pc.xor(pc.is_null(one), pc.is_null(two)))
