"""Compare stages: assign rows to groups, settle each group, and give each part the findings on its rows.

FOLDER/tally/part-000000.json     how many rows a part has, and its candidates for the sample
FOLDER/fitted.bin                 the result of `fit`
FOLDER/assigned/part-000000       the members of a part's rows, by group; deleted when the table is complete
FOLDER/settled/GROUP              the findings of a group, by the part of the row that each is about

Members hold all columns that `settle` reads, so one range read per part collects a group.
"""

import heapq
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import shuffle_key
from manifests.row import Row
from manifests.schema import rows_of
from manifests.store import Store
from manifests.table import RowCounts, part_name, read_row_counts, write_part
from pipeline.engine.inputs import input_ids, input_table
from pipeline.engine.steps.bundle import names_in_bundle, read_bundle, write_bundle
from pipeline.engine.steps.survey import GROUP, read_sample, sort_by_id, tally_name, write_tally
from pipeline.engine.task import Task, TaskResult
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Stage

MEMBERS = "assigned"


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
    """Write the members of a part's rows, group by group."""
    assert isinstance(stage, Compare)
    name = _members(step, task.number)
    if not plan.store.exists(name):
        rows = _input_rows(plan, step, stage, task.number)
        write_bundle(plan.store, name, dict(_grouped(stage, step, rows, plan.store.read(_fitted(step)))))
    return TaskResult(groups=names_in_bundle(plan.store, name))


def settle(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Compute the findings about the members of one group."""
    assert isinstance(stage, Compare)
    name = _findings(step, task.group)
    if plan.store.exists(name):
        return TaskResult()
    tables = []
    for number in range(_parts(plan, step) + stage.num_external_tables()):
        found = read_bundle(plan.store, _members(step, number), task.group)
        if found is not None:
            tables.append(found.append_column("part", pa.repeat(pa.scalar(number, pa.int32()), len(found))))
    members = sort_by_id(pa.concat_tables(tables))
    del tables
    findings = stage.settle(task.group, members.drop_columns(["part"]), plan.store.read(_fitted(step)))
    parts = members["part"].combine_chunks().take(_row_indexes(stage, step, findings, members["id"]))
    by_part = {str(n): findings.filter(pc.equal(parts, n)) for n in pc.unique(parts).to_pylist()}
    write_bundle(plan.store, name, by_part)
    return TaskResult()


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Make one part of the table from the findings about its rows."""
    assert isinstance(stage, Compare)
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return TaskResult(row_counts=read_row_counts(plan.store, name))
    rows = input_table(plan, step, task.number)
    groups = names_in_bundle(plan.store, _members(step, task.number))
    found = [read_bundle(plan.store, _findings(step, group), str(task.number)) for group in groups]
    findings = [table for table in found if table is not None]
    fitted = plan.store.read(_fitted(step))
    columns = stage.conclude(rows, pa.concat_tables(findings) if findings else None, fitted)
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
    for number in range(_parts(plan, step) + stage.num_external_tables()):
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
    parts = _parts(plan, step)
    return input_table(plan, step, number) if number < parts else stage.external_table(number - parts)


def _grouped(
    stage: Compare[Any, Any], step: Step, rows: pa.Table, fitted: bytes
) -> Iterator[tuple[str, pa.Table]]:
    """Each group that has rows of a part as members, with these members."""
    members = stage.assign(rows, fitted)
    _row_indexes(stage, step, members, rows["id"])
    order = pc.sort_indices(members, sort_keys=[("group", "ascending")])
    if not order.equals(pa.array(range(len(order)), pa.uint64())):
        members = members.take(order)
    runs = pc.run_end_encode(members["group"].combine_chunks())
    rest, start = members.drop_columns(["group"]).combine_chunks(), 0
    for group, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        if not GROUP.fullmatch(group):
            raise _stage_failed(
                step, f"assign returned the group {group!r}", "use letters, digits and -_. in a group name"
            )
        yield group, rest.slice(start, end - start)
        start = end


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


def _members(step: Step, number: int) -> str:
    return f"{step.folder}/{MEMBERS}/part-{number:06d}"


def _findings(step: Step, group: str) -> str:
    return f"{step.folder}/settled/{group}"


def _parts(plan: Plan, step: Step) -> int:
    return _tallied_parts(plan.store, f"{step.folder}/tally")


@lru_cache(maxsize=64)
def _tallied_parts(store: Store, folder: str) -> int:
    """How many parts were tallied. Call it after the phase "tally"."""
    return len(store.names(folder))
