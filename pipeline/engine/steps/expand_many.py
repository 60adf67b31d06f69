"""Turns the result of `expand_many` into the same children that `expand` would give row by row."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import StoreFull
from manifests.identity import child_ids
from manifests.schema import schema_of
from pipeline.errors import StageFailed
from pipeline.planning.plan import Step
from pipeline.stage import Expand, Stage


def has_expand_many(work: object) -> bool:
    """Whether `work` is a `from_store` stage that implements `expand_many`."""
    return isinstance(work, Expand) and work.from_store and type(work).expand_many is not Expand.expand_many


def expand_table(step: Step, stage: Stage[Any, Any], table: pa.Table) -> pa.Table:
    """The children that `expand_many` returns for the rows of a table. Empty if it fails.

    Raises:
        StageFailed: two children of a row have equal key columns.
    """
    try:
        made = stage.expand_many(table) if isinstance(stage, Expand) and has_expand_many(stage) else None
        if made is None:
            return step.schema.empty_table()
        parents = table.column("id").take(made.column("row")).to_pylist()
        keys = [made.column(name).to_pylist() for name in stage.adds.key_names()]
        ids = child_ids(parents, *(keys or [_positions(parents)]))
        added = [made.column(name) for name in stage.adds.names()]
        expected = schema_of(stage.adds)
        wrong = [f.name for f, column in zip(expected, added, strict=True) if column.type != f.type]
        if wrong:
            raise TypeError(f"wrong type: {', '.join(wrong)}")
        children = pa.table([pa.array(ids), pa.array(parents), *added], schema=step.schema)
        missing = [f.name for f in step.schema if children.column(f.name).null_count and not f.nullable]
        if missing:
            raise ValueError(f"missing values: {', '.join(missing)}")
    except (StoreFull, StageFailed):
        raise
    except Exception:  # `expand` then shows which row is at fault
        return step.schema.empty_table()
    if len({*ids}) < len(ids):
        [(duplicate, _)] = Counter(ids).most_common(1)
        raise duplicate_keys_error(step, stage, parents[ids.index(duplicate)])
    return children


def rows_without_children(rows: pa.Table, children: pa.Table) -> pa.Table:
    """The rows that have no children among `children`."""
    if not children.num_rows:
        return rows
    parents = pc.unique(children.column("parent").combine_chunks())
    return rows.filter(pc.invert(pc.is_in(rows.column("id"), value_set=parents)))


def duplicate_keys_error(step: Step, stage: Stage[Any, Any], row: str) -> StageFailed:
    return StageFailed(
        f"{type(stage).__name__} returned two children with equal key columns",
        where=f"step {step.name}, row {row}",
        remedy=f"give each child of a row other values in: {', '.join(stage.adds.key_names())}",
    )


def _positions(parents: Sequence[str]) -> list[int]:
    """The position of each child among the children of its parent, from 0."""
    counts: Counter[str] = Counter()
    positions = []
    for parent in parents:
        positions.append(counts[parent])
        counts[parent] += 1
    return positions
