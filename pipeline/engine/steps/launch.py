"""Launch: hand all rows to a program of many ranks, and keep the one row that it gives."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.identity import id_of
from manifests.row import Row
from manifests.schema import record_of, rows_of, table_of
from manifests.table import RowCounts, part_name, parts_of, read_row_counts, write_part
from pipeline.engine.inputs import input_ids, input_table
from pipeline.engine.steps.storing import stored
from pipeline.engine.task import Done, Task
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Launch, Stage


def launch(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Run the program on this rank, whose place among the others is in the environment.

    Every rank calls this; rank 0 commits the row.
    """
    assert isinstance(stage, Launch)
    name = f"{step.folder}/{part_name(0)}"
    if plan.store.exists(name):
        return Done(row_counts=read_row_counts(plan.store, name), parts=1)
    answer = stage.run(_rows(plan, step), work_of(plan, step))
    if os.environ.get("RANK", "0") != "0":
        return Done(parts=1)
    record = {"id": id_of("model", step.keys.run), **record_of(answer)}
    came = sum(len(input_ids(plan, step, number)) for number in _homes(plan, step))
    row_counts = RowCounts(rows_in=came, passed=came, rows_out=1)
    table = table_of([stored(record, plan.store, step.folder)], step.schema)
    write_part(plan.store, name, table, row_counts)
    return Done(row_counts=row_counts, parts=1)


def work_of(plan: Plan, step: Step) -> Path:
    """The folder that outlives a killed run."""
    return plan.store.scratch(f"{step.folder}/work")


def _rows(plan: Plan, step: Step) -> Iterator[Row]:
    for number in _homes(plan, step):
        yield from rows_of(input_table(plan, step, number), step.stage.reads, plan.store)


def _homes(plan: Plan, step: Step) -> list[int]:
    before = plan[step.node.inputs[0]]
    return parts_of(plan.store, plan[before.root].folder)
