"""Compare stages: assign rows to groups, settle each group, and give each part the findings on its rows.

FOLDER/tally/part-000000.json     how many rows a part has, and its candidates for the sample
FOLDER/fitted.bin                 the result of `fit`
FOLDER/members/, settled/         members of groups, and findings about them: see `groups.batches`

Members hold all columns that `settle` reads.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import shuffle_key
from manifests.row import Row
from manifests.schema import rows_of
from manifests.table import RowCounts, part_name, read_row_counts, write_part
from pipeline.engine.inputs import input_ids, input_table
from pipeline.engine.steps.groups.batches import (
    GROUP,
    PART,
    members_name,
    num_parts,
    read_members,
    settled_name,
    slices,
    write_members,
)
from pipeline.engine.steps.groups.bundle import names_in_bundle, read_bundle, write_bundle
from pipeline.engine.steps.survey import GROUP_NAME, read_sample, sort_by_id, tally_name, write_tally
from pipeline.engine.task import Task, TaskResult
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Stage


def tally(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Count the rows of a part, and write down those that may be in the sample."""
    assert isinstance(stage, Compare)
    name = tally_name(step, task.number)
    if not plan.store.exists(name):
        ids = input_ids(plan, step, task.number).to_pylist()
        write_tally(plan, name, {"rows": len(ids)}, ids, stage.sample)
    return TaskResult()


def fit(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Fit the stage to the sample."""
    assert isinstance(stage, Compare)
    if not plan.store.exists(_fitted(step)):
        sample, totals = read_sample(plan, step, task.number, stage.sample)
        sample = _empty(plan, step) if sample is None else sample
        plan.store.create(_fitted(step), stage.fit(sample, totals.get("rows", 0)))
    return TaskResult()


def assign(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Write the members of a part's rows."""
    assert isinstance(stage, Compare)
    name = members_name(step, task.number)
    if not plan.store.exists(name):
        rows = _input_rows(plan, step, stage, task.number)
        members = _members(stage, step, rows, plan.store.read(_fitted(step)))
        write_members(plan, step, task.number, members)
    return TaskResult(groups=names_in_bundle(plan.store, name))


def settle(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Compute the findings about the members of each group of a batch."""
    assert isinstance(stage, Compare)
    name = settled_name(step, task.group)
    if plan.store.exists(name):
        return TaskResult()
    fitted, found = plan.store.read(_fitted(step)), []
    parts = num_parts(plan, step) + stage.num_external_tables()
    for group, members in read_members(plan, step, task.group, parts):
        findings = stage.settle(group, members.drop_columns([PART]), fitted)
        of_part = members[PART].combine_chunks().take(_row_indexes(stage, step, findings, members["id"]))
        groups = pa.repeat(pa.scalar(group, pa.string()), len(findings))
        found.append(findings.append_column(GROUP, groups).append_column(PART, of_part))
    by_part = slices(pa.concat_tables(found), PART)
    write_bundle(plan.store, name, {str(number): findings for number, findings in by_part})
    return TaskResult()


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Make one part of the table from the findings about its rows."""
    assert isinstance(stage, Compare)
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return TaskResult(row_counts=read_row_counts(plan.store, name))
    rows = input_table(plan, step, task.number)
    batches = names_in_bundle(plan.store, members_name(step, task.number))
    found = [read_bundle(plan.store, settled_name(step, batch), str(task.number)) for batch in batches]
    tables = [table for table in found if table is not None]
    findings = pa.concat_tables(tables).sort_by(GROUP).drop_columns([GROUP]) if tables else None
    columns = stage.conclude(rows, findings, plan.store.read(_fitted(step)))
    result = step_table(step, rows, columns)
    row_counts = RowCounts(rows_in=rows.num_rows, passed=rows.num_rows, rows_out=rows.num_rows)
    write_part(plan.store, name, result, row_counts)
    return TaskResult(row_counts=row_counts)


def step_table(step: Step, rows: pa.Table, columns: pa.Table) -> pa.Table:
    """The result of `conclude` as rows of the step's table."""
    if columns.num_rows != rows.num_rows:
        what = f"conclude returned {columns.num_rows} results for {rows.num_rows} rows"
        raise _stage_failed(step, what, "return one row per input row, in order")
    found = [rows["id"] if field.name == "id" else columns[field.name] for field in step.schema]
    cast = [column.cast(field.type) for column, field in zip(found, step.schema, strict=True)]
    return pa.Table.from_arrays(cast, schema=step.schema).combine_chunks()


def recompute_row(plan: Plan, step: Step, stage: Compare[Any, Any], row: pa.Table) -> Row:
    """The result for one row, computed again with all members of its groups."""
    fitted = plan.store.read(_fitted(step))
    groups = [group for group, _ in _grouped(stage, step, row, fitted)]
    members_of: dict[str, list[pa.Table]] = {group: [] for group in groups}
    for number in range(num_parts(plan, step) + stage.num_external_tables()):
        for group, members in _grouped(stage, step, _input_rows(plan, step, stage, number), fitted):
            if group in members_of:
                members_of[group].append(members)
    findings = []
    for group, tables in sorted(members_of.items()):
        found = stage.settle(group, sort_by_id(pa.concat_tables(tables)), fitted)
        own = found.filter(pc.is_in(found["id"], value_set=row["id"].combine_chunks()))
        findings += [own] if own.num_rows else []
    columns = stage.conclude(row, pa.concat_tables(findings) if findings else None, fitted)
    kind: type[Row] = stage.adds
    (result,) = rows_of(step_table(step, row, columns), kind, plan.store)
    return result


def in_memory(step: Step, parts: Sequence[pa.Table]) -> list[pa.Table]:
    """The results for the rows of all parts, computed without a store."""
    stage = step.stage
    assert isinstance(stage, Compare)
    whole = pa.concat_tables(parts)
    lowest = heapq.nsmallest(stage.sample, whole["id"].to_pylist(), key=shuffle_key)
    sample = sort_by_id(whole.filter(pc.is_in(whole["id"], value_set=pa.array(lowest, pa.string()))))
    fitted = stage.fit(sample, whole.num_rows)
    members_of: dict[str, list[pa.Table]] = {}
    for rows in (*parts, *(stage.external_table(n) for n in range(stage.num_external_tables()))):
        for group, members in _grouped(stage, step, rows, fitted):
            members_of.setdefault(group, []).append(members)
    found = [stage.settle(g, sort_by_id(pa.concat_tables(m)), fitted) for g, m in sorted(members_of.items())]
    results = []
    for rows in parts:
        own = [f.filter(pc.is_in(f["id"], value_set=rows["id"].combine_chunks())) for f in found]
        findings = [table for table in own if table.num_rows]
        columns = stage.conclude(rows, pa.concat_tables(findings) if findings else None, fitted)
        results.append(step_table(step, rows, columns))
    return results


def _input_rows(plan: Plan, step: Step, stage: Compare[Any, Any], number: int) -> pa.Table:
    """The rows of a part. Numbers after the last part are those of the external tables."""
    parts = num_parts(plan, step)
    return input_table(plan, step, number) if number < parts else stage.external_table(number - parts)


def _grouped(
    stage: Compare[Any, Any], step: Step, rows: pa.Table, fitted: bytes
) -> Iterator[tuple[str, pa.Table]]:
    """Each group that has rows of a part as members, with these members."""
    return slices(_members(stage, step, rows, fitted), GROUP)


def _members(stage: Compare[Any, Any], step: Step, rows: pa.Table, fitted: bytes) -> pa.Table:
    """The members that a stage makes of the rows of a part, with their groups."""
    members = stage.assign(rows, fitted)
    _row_indexes(stage, step, members, rows["id"])
    for group in pc.unique(members["group"]).to_pylist():
        if not GROUP_NAME.fullmatch(group):
            raise _stage_failed(
                step, f"assign returned the group {group!r}", "use letters, digits and -_. in a group name"
            )
    return members.rename_columns({"group": GROUP})


def _row_indexes(stage: Compare[Any, Any], step: Step, table: pa.Table, ids: pa.ChunkedArray) -> pa.Array:
    """The index in `ids` of the row that each line of a table is about."""
    found = pc.index_in(table["id"], value_set=ids.combine_chunks())
    if found.null_count:
        what = f"{type(stage).__name__} returned {found.null_count} ids that were not in its input"
        raise _stage_failed(step, what, "take the ids from the input table")
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _stage_failed(step: Step, what: str, remedy: str) -> StageFailed:
    return StageFailed(what, where=f"step {step.name}", remedy=remedy)


def _empty(plan: Plan, step: Step) -> pa.Table:
    fields = [
        pa.field("id", pa.string()) if column == "id" else plan[author].schema.field(column)
        for column, author in step.reads.items()
    ]
    return pa.schema(fields).empty_table()


def _fitted(step: Step) -> str:
    return f"{step.folder}/fitted.bin"
