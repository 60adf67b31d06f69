"""Runs Launch stages: a program of many ranks reads all rows and returns one row."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.identity import id_of
from manifests.row import Row
from manifests.schema import record_of, rows_of, table_of
from manifests.table import RowCounts, part_name, parts_of, read_row_counts, write_part
from pipeline.engine.inputs import input_ids, input_table
from pipeline.engine.repair import restore, rows_without_files
from pipeline.engine.steps.storing import save_artifacts
from pipeline.engine.task import Task, TaskResult, WorkCounts
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Launch, Stage


def launch(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Run the program on this rank; environment variables such as RANK and WORLD_SIZE are set.

    Every rank calls this function. Rank 0 commits the row.
    """
    assert isinstance(stage, Launch)
    name = f"{step.folder}/{part_name(0)}"
    is_done = plan.store.exists(name)
    lacking = rows_without_files(plan, step, name) if is_done else []
    if is_done and not lacking:
        return TaskResult(row_counts=read_row_counts(plan.store, name), parts=1)
    row = stage.run(_rows(plan, step), work_folder(plan, step))
    if os.environ.get("RANK", "0") != "0":
        return TaskResult(parts=1)
    if lacking:
        restore(plan, step, lacking, [(id_of("model", step.keys.run), row)])
        work = WorkCounts(processed=len(lacking))
        return TaskResult(row_counts=read_row_counts(plan.store, name), parts=1, work=work)
    record = {"id": id_of("model", step.keys.run), **record_of(row)}
    rows_in = sum(len(input_ids(plan, step, number)) for number in _part_numbers(plan, step))
    row_counts = RowCounts(rows_in=rows_in, passed=rows_in, rows_out=1)
    table = table_of([save_artifacts(record, plan.store, step.folder)], step.schema)
    write_part(plan.store, name, table, row_counts)
    return TaskResult(row_counts=row_counts, parts=1)


def work_folder(plan: Plan, step: Step, *, create: bool = True) -> Path:
    """The folder of the program's own files, such as checkpoints. It survives a kill."""
    return plan.store.scratch(f"{step.folder}/work", create=create)


def _rows(plan: Plan, step: Step) -> Iterator[Row]:
    for number in _part_numbers(plan, step):
        yield from rows_of(input_table(plan, step, number), step.stage.reads, plan.store)


def _part_numbers(plan: Plan, step: Step) -> list[int]:
    previous = plan[step.node.inputs[0]]
    return parts_of(plan.store, plan[previous.root].folder)
