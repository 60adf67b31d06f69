"""Compare: assign rows to groups, settle each group, hand each part what was found about its rows.

FOLDER/tally/part-000000.json     how many rows a part has, and its candidates for the sample
FOLDER/fitted.bin                 what `fit` returned
FOLDER/assigned/part-000000       the members of a part's rows, by group; gone when the table is whole
FOLDER/settled/GROUP              the findings of a group, by the part of the row that each is about

Members carry all that `settle` reads, so that a group is gathered by one range read per part.
"""

import heapq
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import order_of
from manifests.row import Row
from manifests.schema import rows_of
from manifests.store import Store
from manifests.table import RowCounts, part_name, read_row_counts, write_part
from pipeline.engine.inputs import input_ids, input_table
from pipeline.engine.steps.bundle import names_in_bundle, read_bundle, write_bundle
from pipeline.engine.steps.survey import GROUP, by_id, note, sampled, tally_name
from pipeline.engine.task import Done, Task
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Stage

MEMBERS = "assigned"


def tally(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Count a part, and name its rows that may be in the sample."""
    assert isinstance(stage, Compare)
    name = tally_name(step, task.number)
    if not plan.store.exists(name):
        ids = input_ids(plan, step, task.number).to_pylist()
        note(plan, name, {"rows": len(ids)}, ids, stage.sample)
    return Done()


def fit(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Let the stage learn what it needs to know from the sample."""
    assert isinstance(stage, Compare)
    if not plan.store.exists(_fitted(step)):
        sample, totals = sampled(plan, step, task.number, stage.sample)
        sample = _empty(plan, step) if sample is None else sample
        plan.store.create(_fitted(step), stage.fit(sample, totals.get("rows", 0)))
    return Done()


def assign(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Write down the members of a part's rows, group by group."""
    assert isinstance(stage, Compare)
    name = _members(step, task.number)
    if not plan.store.exists(name):
        rows = _came(plan, step, stage, task.number)
        write_bundle(plan.store, name, dict(_grouped(stage, step, rows, plan.store.read(_fitted(step)))))
    return Done(groups=names_in_bundle(plan.store, name))


def settle(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Work out the findings about the members of one group."""
    assert isinstance(stage, Compare)
    name = _findings(step, task.group)
    if plan.store.exists(name):
        return Done()
    tables = []
    for number in range(_parts(plan, step) + stage.outside()):
        found = read_bundle(plan.store, _members(step, number), task.group)
        if found is not None:
            tables.append(found.append_column("part", pa.repeat(pa.scalar(number, pa.int32()), len(found))))
    members = by_id(pa.concat_tables(tables))
    del tables
    findings = stage.settle(task.group, members.drop_columns(["part"]), plan.store.read(_fitted(step)))
    homes = members["part"].combine_chunks().take(_whose(stage, step, findings, members["id"]))
    each = {str(n): findings.filter(pc.equal(homes, n)) for n in pc.unique(homes).to_pylist()}
    write_bundle(plan.store, name, each)
    return Done()


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Conclude what the findings about the rows of one part mean."""
    assert isinstance(stage, Compare)
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return Done(row_counts=read_row_counts(plan.store, name))
    rows = input_table(plan, step, task.number)
    groups = names_in_bundle(plan.store, _members(step, task.number))
    found = [read_bundle(plan.store, _findings(step, group), str(task.number)) for group in groups]
    findings = [table for table in found if table is not None]
    fitted = plan.store.read(_fitted(step))
    told = stage.conclude(rows, pa.concat_tables(findings) if findings else None, fitted)
    answer = answered(step, rows, told)
    row_counts = RowCounts(rows_in=rows.num_rows, passed=rows.num_rows, rows_out=rows.num_rows)
    write_part(plan.store, name, answer, row_counts)
    return Done(row_counts=row_counts)


def answered(step: Step, rows: pa.Table, told: pa.Table) -> pa.Table:
    """What `conclude` said, as rows of the step's table."""
    if told.num_rows != rows.num_rows:
        raise _wrong(step, f"conclude gave {told.num_rows} answers for {rows.num_rows} rows", "one per row")
    columns = [rows["id"] if field.name == "id" else told[field.name] for field in step.schema]
    cast = [column.cast(field.type) for column, field in zip(columns, step.schema, strict=True)]
    return pa.Table.from_arrays(cast, schema=step.schema).combine_chunks()


def again(plan: Plan, step: Step, stage: Compare[Any, Any], row: pa.Table) -> Row:
    """The answer for one row, reached anew with all members of its groups."""
    fitted = plan.store.read(_fitted(step))
    groups = [group for group, _ in _grouped(stage, step, row, fitted)]
    gathered: dict[str, list[pa.Table]] = {group: [] for group in groups}
    for number in range(_parts(plan, step) + stage.outside()):
        for group, members in _grouped(stage, step, _came(plan, step, stage, number), fitted):
            if group in gathered:
                gathered[group].append(members)
    findings = []
    for group, tables in sorted(gathered.items()):
        told = stage.settle(group, by_id(pa.concat_tables(tables)), fitted)
        mine = told.filter(pc.is_in(told["id"], value_set=row["id"].combine_chunks()))
        findings += [mine] if mine.num_rows else []
    told = stage.conclude(row, pa.concat_tables(findings) if findings else None, fitted)
    (answer,) = rows_of(answered(step, row, told), stage.adds, plan.store)
    return answer


def in_memory(step: Step, parts: Sequence[pa.Table]) -> list[pa.Table]:
    """The answers for the rows of all parts, without a store."""
    stage = step.stage
    assert isinstance(stage, Compare)
    whole = pa.concat_tables(parts)
    low = heapq.nsmallest(stage.sample, whole["id"].to_pylist(), key=order_of)
    sample = by_id(whole.filter(pc.is_in(whole["id"], value_set=pa.array(low, pa.string()))))
    fitted = stage.fit(sample, whole.num_rows)
    gathered: dict[str, list[pa.Table]] = {}
    for rows in (*parts, *(stage.beside(n) for n in range(stage.outside()))):
        for group, members in _grouped(stage, step, rows, fitted):
            gathered.setdefault(group, []).append(members)
    found = [stage.settle(g, by_id(pa.concat_tables(m)), fitted) for g, m in sorted(gathered.items())]
    answers = []
    for rows in parts:
        mine = [f.filter(pc.is_in(f["id"], value_set=rows["id"].combine_chunks())) for f in found]
        about = [findings for findings in mine if findings.num_rows]
        told = stage.conclude(rows, pa.concat_tables(about) if about else None, fitted)
        answers.append(answered(step, rows, told))
    return answers


def _came(plan: Plan, step: Step, stage: Compare[Any, Any], number: int) -> pa.Table:
    """The rows of a part; behind the last part come the tables from elsewhere."""
    parts = _parts(plan, step)
    return input_table(plan, step, number) if number < parts else stage.beside(number - parts)


def _grouped(
    stage: Compare[Any, Any], step: Step, rows: pa.Table, fitted: bytes
) -> Iterator[tuple[str, pa.Table]]:
    """Each group that rows of a part are members of, with these members."""
    members = stage.assign(rows, fitted)
    _whose(stage, step, members, rows["id"])
    order = pc.sort_indices(members, sort_keys=[("group", "ascending")])
    if not order.equals(pa.array(range(len(order)), pa.uint64())):
        members = members.take(order)
    runs = pc.run_end_encode(members["group"].combine_chunks())
    rest, start = members.drop_columns(["group"]).combine_chunks(), 0
    for group, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        if not GROUP.fullmatch(group):
            raise _wrong(step, f"assign named a group {group!r}", "letters, digits and -_. make a name")
        yield group, rest.slice(start, end - start)
        start = end


def _whose(stage: Compare[Any, Any], step: Step, lines: pa.Table, ids: pa.ChunkedArray) -> pa.Array:
    """The place in `ids` of the row that each line is about."""
    found = pc.index_in(lines["id"], value_set=ids.combine_chunks())
    if found.null_count:
        what = f"{type(stage).__name__} spoke of {found.null_count} rows that it was not shown"
        raise _wrong(step, what, "take the ids from the table that was given")
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _wrong(step: Step, what: str, remedy: str) -> StageFailed:
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
    return _counted(plan.store, f"{step.folder}/tally")


@lru_cache(maxsize=64)
def _counted(store: Store, folder: str) -> int:
    """How many parts were tallied; asked once all of them are."""
    return len(store.names(folder))
