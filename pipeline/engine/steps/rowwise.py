"""Runs Annotate and Expand stages: one result per row.

The result of a row is searched in earlier tables with the same content key, then in the journals of
attempts that were killed. Only rows without a result are passed to the stage. A row on which two
workers of this run died is rejected.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.artifact import Artifact
from manifests.errors import SchemaMismatch
from manifests.identity import child_id
from manifests.row import Row
from manifests.schema import ARTIFACT, record_of, rows_of, table_of
from manifests.table import RowCounts, part_name, write_part, write_rejects
from pipeline.engine.batches.attempts import Batch, Compute, Results, run_with_retries
from pipeline.engine.batches.size import BatchSize, batch_size
from pipeline.engine.inputs import input_table
from pipeline.engine.journal import Journal, RowResult
from pipeline.engine.repair import existing_part
from pipeline.engine.steps.expand_many import (
    duplicate_keys_error,
    expand_table,
    has_expand_many,
    rows_without_children,
)
from pipeline.engine.steps.reuse import reusable_rows
from pipeline.engine.steps.storing import rejects_table, result_from_error, save_artifacts
from pipeline.engine.task import Task, TaskResult, WorkCounts
from pipeline.errors import StageFailed
from pipeline.grouped import AnnotateGroups
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Annotate, Expand, Stage, Unavailable

_MAX_CRASHES = 2  # workers that may die on a row before it is rejected


@dataclass(frozen=True)
class PartInput:
    """The input rows of a part.

    Attributes:
        ids: Ids of all rows, in the order of their table.
        new: The rows to process, with the columns that the stage reads.
        reused: Results of the other rows, from earlier tables with the same content key.
    """

    ids: pa.Array
    new: pa.Table
    reused: pa.Table


def part(
    plan: Plan,
    step: Step,
    stage: Stage[Any, Any],
    task: Task,
    compute: Compute | None = None,
    inputs: PartInput | None = None,
) -> TaskResult:
    """Make one part of a layer or of a table of children.

    Args:
        compute: Computes the results of a batch. By default the stage does.
        inputs: Result of `part_input`, if the caller has it already.
    """
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return existing_part(plan, step, stage, task)
    inputs = inputs or part_input(plan, step, task.number)
    ids, new, reused, owner = inputs.ids, inputs.new, inputs.reused, _owner(step)
    journal = open_journal(plan, name, save_results=not stage.from_store)
    done, before = False, dict(stage.seconds())
    size = batch_size(step, stage)
    divided = size.divided
    try:
        expanded = _expand_many(step, stage, new, journal)
        others = rows_without_children(new, expanded)
        compute = compute or partial(run_stage, plan, step, stage)
        results = _results(step, stage, plan, others, journal, compute, size)
        rejects = {row: result for row, result in results.items() if result.kind}
        records = [record for result in results.values() for record in result.records]
        rows = _sorted(pa.concat_tables([table_of(records, step.schema), expanded, reused]), ids, owner)
        row_counts = RowCounts(
            rows_in=len(ids),
            passed=len(ids) - len(rejects),
            rejected=len(rejects),
            errors=sum(a.kind != "reject" for a in rejects.values()),
            rows_out=rows.num_rows,
            rejects=write_rejects(plan.store, step.folder, task.number, rejects_table(rejects)),
        )
        plan.store.persist([artifact.path for result in results.values() for artifact in _files(result)])
        write_part(plan.store, name, rows, row_counts)
        done = True
    except SchemaMismatch:
        done = True  # the journal would give the same results again, even after the stage is fixed
        raise
    finally:
        journal.close(delete=done)
    resumed = new.num_rows - journal.started
    seconds = {key: value - before.get(key, 0.0) for key, value in stage.seconds().items()}
    work = WorkCounts(
        journal.started,
        len(ids) - new.num_rows,
        resumed,
        journal.restarted,
        size.divided - divided,
        seconds,
    )
    crashed = tuple((row, result.reason) for row, result in rejects.items() if result.kind == "crash")
    return TaskResult(row_counts=row_counts, work=work, crashed=crashed)


def part_input(plan: Plan, step: Step, number: int) -> PartInput:
    """The input rows of a part."""
    table = input_table(plan, step, number)
    ids = table.column("id").combine_chunks()
    reused = reusable_rows(plan, step, number, ids, _owner(step))
    mask = pc.is_in(ids, value_set=reused.column(_owner(step)).combine_chunks())
    return PartInput(ids, table.filter(pc.invert(mask)), reused)


def _owner(step: Step) -> str:
    return "parent" if step.kind == "children" else "id"


def _expand_many(step: Step, stage: Stage[Any, Any], table: pa.Table, journal: Journal) -> pa.Table:
    """The children from the stage's `expand_many`. Empty if a worker died on this part before."""
    if journal.crashes or not has_expand_many(stage):
        return step.schema.empty_table()
    ids = table.column("id").to_pylist()
    journal.start(ids)
    children = expand_table(step, stage, table)
    expanded = {*children.column("parent").to_pylist()}
    journal.finish({row: RowResult() for row in expanded})
    for row in ids:
        if row not in expanded:
            journal.requeue(row)
    return children


def _sorted(rows: pa.Table, ids: pa.Array, owner: str) -> pa.Table:
    """Rows in the order of the input `ids`; children of one parent keep their order."""
    rank = pc.index_in(rows.column(owner), value_set=ids)
    keys = pa.table({"rank": rank, "row": pa.array(range(rows.num_rows), pa.int64())})
    order = pc.sort_indices(keys, sort_keys=[("rank", "ascending"), ("row", "ascending")])
    return rows.take(order).combine_chunks()


def _results(
    step: Step,
    stage: Stage[Any, Any],
    plan: Plan,
    table: pa.Table,
    journal: Journal,
    compute: Compute,
    size: BatchSize,
) -> dict[str, RowResult]:
    """The result of each row of `table`, in order, from the journal or from the stage."""
    ids: list[str] = table.column("id").to_pylist()
    rows = rows_of(table, stage.reads, plan.store)
    found = {row: journal.results[row] for row in ids if row in journal.results}
    results = {row: result for row, result in found.items() if _has_files(plan, result)}
    for row in ids:
        if row not in results and has_crashed_workers(journal, row):
            results[row] = crash_result(plan, journal, row)
            journal.finish({row: results[row]})
    todo = [(row, value) for row, value in zip(ids, rows, strict=True) if row not in results]
    suspects = {row for row, _ in todo if journal.crashes[row]}
    for batch in _batches(stage, todo, size, suspects):
        journal.start([row for row, _ in batch])
        results |= record_results(journal, run_with_retries(step, compute, batch, size))
    return {row: results[row] for row in ids}


def _has_files(plan: Plan, result: RowResult) -> bool:
    """Whether the files of a result are complete. After a power failure, some of an open part may not be."""
    for artifact in _files(result):
        plan.store.remove_truncated(artifact.path, artifact.size_bytes)
    return all(plan.store.exists(artifact.path) for artifact in _files(result))


def _files(result: RowResult) -> list[Artifact]:
    """The artifacts of a result."""
    values = (value for record in result.records for value in record.values())
    return [value for value in values if isinstance(value, Artifact)]


def _batches(
    stage: Stage[Any, Any], rows: Batch, size: BatchSize, suspects: Collection[str]
) -> Iterator[Batch]:
    """The batches of rows: first those without suspects; then suspects one by one, or in their groups."""
    if isinstance(stage, AnnotateGroups):
        yield from sorted(groups_of(stage, rows), key=lambda group: any(row in suspects for row, _ in group))
        return
    yield from size.split([pair for pair in rows if pair[0] not in suspects])
    yield from ([pair] for pair in rows if pair[0] in suspects)


def groups_of(stage: Stage[Any, Any], rows: Batch) -> list[Batch]:
    """The rows that a stage receives together: each row alone, or the rows of a group."""
    if not isinstance(stage, AnnotateGroups):
        return [[pair] for pair in rows]
    groups: dict[Any, list[tuple[str, Row]]] = {}
    for pair in rows:
        groups.setdefault(getattr(pair[1], stage.group_by), []).append(pair)
    return list(groups.values())


def record_results(journal: Journal, results: Results) -> dict[str, RowResult]:
    """Write results to the journal, and return them.

    Raises:
        Unavailable: some rows have no result, because a service is unavailable; they are requeued.
    """
    ready = {row: result for row, result in results.items() if isinstance(result, RowResult)}
    journal.finish(ready)
    unavailable = [(row, result) for row, result in results.items() if isinstance(result, Unavailable)]
    for row, _ in unavailable:
        journal.requeue(row)
    for _, reason in unavailable:
        raise reason
    return ready


def has_crashed_workers(journal: Journal, row: str) -> bool:
    """Whether so many workers died on a row that it is rejected."""
    return journal.crashes[row] >= _MAX_CRASHES


def open_journal(plan: Plan, name: str, *, save_results: bool = True) -> Journal:
    """The journal of a file of a table."""
    folder = plan.store.scratch(name)
    return Journal(folder, plan.run, save_results=save_results, row_timeout_s=plan.row_timeout_s)


def crash_result(plan: Plan, journal: Journal, row: str) -> RowResult:
    """The result for a row on which so many workers died, or were ended, that it is rejected."""
    if row in journal.hung:
        reason = f"timeout: not finished after {plan.row_timeout_s:g} s, {_MAX_CRASHES} times"
        return RowResult(kind="crash", reason=reason, detail=journal.hung[row])
    return RowResult(kind="crash", reason=f"the worker died on this row {_MAX_CRASHES} times")


def run_stage(plan: Plan, step: Step, stage: Stage[Any, Any], batch: Batch) -> Results:
    """The results of the stage for some rows; their artifacts are saved in the store."""
    if isinstance(stage, Expand):
        (parent, row), *_ = batch
        children = [_child(parent, i, child) for i, child in enumerate(stage.expand(row))]
        _check_ids(step, stage, parent, children)
        if any(kind == ARTIFACT for kind in step.schema.types):
            children = [save_artifacts(c, plan.store, step.folder, durable=False) for c in children]
        return {parent: RowResult(records=children)}
    assert isinstance(stage, Annotate)
    returned = list(stage.annotate([row for _, row in batch]))
    if len(returned) != len(batch):
        raise StageFailed(
            f"{type(stage).__name__} returned {len(returned)} results for {len(batch)} rows",
            where=f"step {step.name}",
            remedy="`annotate` yields one result per row, in order; yield `Reject` for a row that has none",
        )
    return {row: _result(plan, step, row, value) for (row, _), value in zip(batch, returned, strict=True)}


def _result(plan: Plan, step: Step, row: str, value: Row | Exception) -> RowResult | Unavailable:
    if isinstance(value, Exception):
        return value if isinstance(value, Unavailable) else result_from_error(value)
    return layer_result(plan, step, row, value)


def layer_result(plan: Plan, step: Step, row: str, columns: Row) -> RowResult:
    """The result for a row that gets new columns; their artifacts are saved in the store."""
    record = {"id": row, **record_of(columns)}
    return RowResult(records=[save_artifacts(record, plan.store, step.folder, durable=False)])


def _check_ids(step: Step, stage: Stage[Any, Any], parent: str, children: Sequence[Any]) -> None:
    if len({child["id"] for child in children}) < len(children):
        raise duplicate_keys_error(step, stage, parent)


def _child(parent: str, position: int, row: Row) -> dict[str, Any]:
    keys = [getattr(row, name) for name in row.key_names()] or [position]
    return {"id": child_id(parent, *keys), "parent": parent, **record_of(row)}
