"""Runs Source stages: their rows are written to parts, in the order in which they are produced."""

from collections.abc import Callable, Iterator
from typing import Any

from manifests.row import Row
from manifests.schema import record_of, table_of
from manifests.table import RowCounts, part_name, write_part
from pipeline.engine.journal import listed_rows
from pipeline.engine.steps.storing import save_artifacts
from pipeline.engine.task import Task, TaskResult
from pipeline.errors import StageFailed
from pipeline.planning.part_sizes import split_into_parts
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Source, Stage


def rows(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Write all parts of a source. Parts that exist already are left as they are."""
    assert isinstance(stage, Source)
    with listed_rows(plan.store.scratch(f"{step.folder}/{part_name(task.number)}"), plan.run) as listed:
        return _write_parts(plan, step, iter(stage.rows()), listed)


def _write_parts(plan: Plan, step: Step, found: Iterator[Row], listed: Callable[[int], None]) -> TaskResult:
    ids: set[str] = set()
    number = count = 0
    for batch in split_into_parts(found, step.node.rows_per_part):
        records = [save_artifacts(record_of(row), plan.store, step.folder) for row in batch]
        for record in records:
            if record["id"] in ids:
                raise StageFailed(
                    f"step {step.name} returned the id {record['id']} twice",
                    remedy="an id belongs to one row; derive it from values that differ between rows",
                )
            ids.add(record["id"])
        row_counts = RowCounts(rows_out=len(batch))
        name = f"{step.folder}/{part_name(number)}"
        write_part(plan.store, name, table_of(records, step.schema), row_counts)
        number, count = number + 1, count + len(batch)
        listed(count)
    return TaskResult(row_counts=RowCounts(rows_out=count), parts=number)
