"""Comparing tables: which rows are only here or only there, and which values changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.catalogue import Table, tables_of
from manifests.schema import ARTIFACT
from manifests.store import Store

_SHOWN = 5  # examples of each kind
_SAID = {"id", "rule", "where"}  # what pairs the rows, and what `made` says already


@dataclass(frozen=True)
class Change:
    """One column that differs: in how many rows, and some of them as (id, here, there)."""

    rows: int
    examples: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class Difference:
    """Two tables side by side.

    Attributes:
        node, kind: the step, and what kind of table it makes.
        here, there: the folders; "" where the other store has no such step.
        both: rows that stand in both.
        only_here, only_there: how many rows stand in one of them.
        examples: some ids of those, by "only_here" and "only_there".
        lost, gained: columns that only one of them has.
        changed: the columns whose values differ for rows that stand in both.
        made: what makes them that differs (a setting, a version, the rule), as (here, there).
    """

    node: str
    kind: str
    here: str
    there: str
    both: int = 0
    only_here: int = 0
    only_there: int = 0
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    changed: Mapping[str, Change] = field(default_factory=dict)
    made: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether both hold the same rows with the same values."""
        rows = self.only_here or self.only_there or self.lost or self.gained or self.changed
        return bool(self.here and self.there and not rows)


def compare_stores(here: Store, there: Store) -> Iterator[Difference]:
    """Two stores, step by step. Tables of one folder name are equal by their keys, and still compared.

    Where a step has several tables, left from earlier settings, those of one name are paired first
    and the rest in the order of their names.
    """
    left, right = _by_node(here), _by_node(there)
    for node in dict.fromkeys((*left, *right)):
        ours, theirs = left.get(node, {}), right.get(node, {})
        for folder in [name for name in ours if name in theirs]:
            yield compare(ours.pop(folder), theirs.pop(folder))
        for pair in zip(list(ours.values()), list(theirs.values()), strict=False):
            yield compare(*pair)
        count = min(len(ours), len(theirs))
        yield from (Difference(node, t.manifest.kind, t.folder, "") for t in list(ours.values())[count:])
        yield from (Difference(node, t.manifest.kind, "", t.folder) for t in list(theirs.values())[count:])


def compare(here: Table, there: Table) -> Difference:
    """Two tables, row by row.

    Two whole tables whose parts have equal digests are equal, and are not read.
    """
    names = here.manifest.node, here.manifest.kind, here.folder, there.folder
    made = _made(here, there)
    if here.closed and there.closed and _digests(here) == _digests(there):
        return Difference(*names, both=here.manifest.row_counts.rows_out, made=made)
    one, two = here.read(), there.read()
    ids = one.column("id").combine_chunks(), two.column("id").combine_chunks()
    at = pc.index_in(ids[0], value_set=ids[1])
    only_here = ids[0].filter(pc.is_null(at))
    only_there = ids[1].filter(pc.invert(pc.is_in(ids[1], value_set=ids[0])))
    one, two = one.filter(pc.is_valid(at)), two.take(at.drop_null())
    shared = [name for name in one.column_names if name in two.column_names and name not in _SAID]
    changes = {name: _change(one.column("id"), one.column(name), two.column(name)) for name in shared}
    return Difference(
        *names,
        both=one.num_rows,
        only_here=len(only_here),
        only_there=len(only_there),
        examples={
            "only_here": tuple(only_here[:_SHOWN].to_pylist()),
            "only_there": tuple(only_there[:_SHOWN].to_pylist()),
        },
        lost=tuple(name for name in one.column_names if name not in two.column_names),
        gained=tuple(name for name in two.column_names if name not in one.column_names),
        changed={name: change for name, change in changes.items() if change.rows},
        made=made,
    )


def _by_node(store: Store) -> dict[str, dict[str, Table]]:
    found: dict[str, dict[str, Table]] = {}
    for table in tables_of(store):
        found.setdefault(table.manifest.node, {})[table.folder] = table
    return found


def _digests(table: Table) -> list[str]:
    assert table.closed
    return [part.sha256 for part in table.closed.parts]


def _made(here: Table, there: Table) -> dict[str, tuple[Any, Any]]:
    one, two = _flat(here.manifest.made_by), _flat(there.manifest.made_by)
    return {k: (one.get(k), two.get(k)) for k in {**one, **two} if one.get(k) != two.get(k)}


def _flat(made_by: Mapping[str, Any]) -> dict[str, Any]:
    settings = made_by.get("settings", {})
    return {k: v for k, v in made_by.items() if k != "settings"} | dict(settings)


def _change(ids: pa.ChunkedArray, here: pa.ChunkedArray, there: pa.ChunkedArray) -> Change:
    """Where two columns of the same rows differ. NaN equals NaN; of artifacts, only the content counts."""
    differs = _differs(here, there)
    where = pc.indices_nonzero(differs)
    shown = where[:_SHOWN]
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
