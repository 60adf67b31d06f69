"""Expand for many rows at once: what `expand_many` tells, made into the children that `expand` would give."""

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


def tells_many(work: object) -> bool:
    """Whether it is a stage that has an `expand_many` of its own, which may be asked."""
    return isinstance(work, Expand) and work.from_store and type(work).expand_many is not Expand.expand_many


def told_at_once(step: Step, stage: Stage[Any, Any], table: pa.Table) -> pa.Table:
    """The children of the rows of a table, as far as the stage tells them at once; none, where that fails.

    Raises:
        StageFailed: two children of a row have equal key columns.
    """
    try:
        made = stage.expand_many(table) if isinstance(stage, Expand) and tells_many(stage) else None
        if made is None:
            return step.schema.empty_table()
        parents = table.column("id").take(made.column("row")).to_pylist()
        keys = [made.column(name).to_pylist() for name in stage.adds.key_names()]
        ids = child_ids(parents, *(keys or [_places(parents)]))
        added = [made.column(name) for name in stage.adds.names()]
        bent = [
            f.name for f, column in zip(schema_of(stage.adds), added, strict=True) if column.type != f.type
        ]
        if bent:
            raise TypeError(f"another type: {', '.join(bent)}")
        children = pa.table([pa.array(ids), pa.array(parents), *added], schema=step.schema)
        lost = [f.name for f in step.schema if children.column(f.name).null_count and not f.nullable]
        if lost:
            raise ValueError(f"missing values: {', '.join(lost)}")
    except (StoreFull, StageFailed):
        raise
    except Exception:  # whose fault it is shows when the rows are asked one by one
        return step.schema.empty_table()
    if len({*ids}) < len(ids):
        [(twice, _)] = Counter(ids).most_common(1)
        raise equal_keys(step, stage, parents[ids.index(twice)])
    return children


def without_parents(rows: pa.Table, children: pa.Table) -> pa.Table:
    """The rows of which none of these is a child."""
    if not children.num_rows:
        return rows
    parents = pc.unique(children.column("parent").combine_chunks())
    return rows.filter(pc.invert(pc.is_in(rows.column("id"), value_set=parents)))


def equal_keys(step: Step, stage: Stage[Any, Any], row: str) -> StageFailed:
    return StageFailed(
        f"{type(stage).__name__} gave two children with equal key columns",
        where=f"step {step.name}, row {row}",
        remedy=f"key columns tell the children of a row apart: {', '.join(stage.adds.key_names())}",
    )


def _places(parents: Sequence[str]) -> list[int]:
    """The place of each child among those of its parent."""
    counts: Counter[str] = Counter()
    places = []
    for parent in parents:
        places.append(counts[parent])
        counts[parent] += 1
    return places
