"""Runs rules (`keep`): one vectorized evaluation per part writes which rows were dropped, and why."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import Damaged
from manifests.manifest import MANIFEST_FILE
from manifests.predicate import evaluate, names_in
from manifests.store import Store
from manifests.table import RowCounts, part_name, parts_of, read_row_counts, write_part, write_rejects
from pipeline.engine.inputs import input_ids, read_columns
from pipeline.engine.journal import RowResult
from pipeline.engine.steps.storing import rejects_table
from pipeline.engine.task import Task, TaskResult
from pipeline.planning.plan import Plan, Step
from pipeline.rule import Keep, decide

_TEXT = "="  # key of the text of the values that the predicate read; no column has this name
_Causes = Mapping[str, Mapping[str, Any]]  # by the id of a row: the columns of another row


def part(plan: Plan, step: Step, task: Task) -> TaskResult:
    """Evaluate a rule on the rows of one part. Rows with a missing value in it are rejected.

    Rules that directly follow are evaluated in the same task on the remaining rows, so that their columns
    are read once.
    """
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return TaskResult(row_counts=read_row_counts(plan.store, name))
    rules = chain(plan, step)
    reads = {column: author for each in rules for column, author in each.reads.items()}
    table = read_columns(plan, step.base, reads, task.number, input_ids(plan, step, task.number))
    verdicts = decide([_rule(each) for each in rules], table)
    remaining = pa.repeat(True, table.num_rows)
    row_counts = {}
    for each, verdict in zip(rules, verdicts, strict=True):
        dropped = table.filter(pc.and_(remaining, pc.fill_null(pc.invert(verdict), False)))
        unknown = table.filter(pc.and_(remaining, pc.is_null(verdict)))
        rows_in = pc.sum(remaining).as_py() or 0
        causes = _causes(_rule(each), table.filter(remaining), pa.concat_tables([dropped, unknown]))
        row_counts[each.name] = _write(plan, each, task.number, rows_in, dropped, unknown, causes)
        remaining = pc.and_(remaining, pc.fill_null(verdict, False))
    return TaskResult(row_counts=row_counts.pop(step.name), chained=tuple(row_counts.items()))


def existing_parts(plan: Plan, step: Step, *, remove: bool = True) -> list[int]:
    """The numbers of the parts of a step that exist and need not be made again.

    A power failure can leave the part of a rule incomplete while its table is open. Such a part does not
    count; with `remove`, it is deleted.
    """
    existing = parts_of(plan.store, step.folder)
    if step.kind != "drops" or plan.store.exists(f"{step.folder}/{MANIFEST_FILE}"):
        return existing
    readable = []
    for number in existing:
        name = f"{step.folder}/{part_name(number)}"
        if is_readable(plan.store, name):
            readable.append(number)
        elif remove:
            plan.store.remove(name)
    return readable


def is_readable(store: Store, name: str) -> bool:
    """Whether a part exists and is complete."""
    try:
        read_row_counts(store, name)
        return True
    except (Damaged, FileNotFoundError):
        return False


def chain(plan: Plan, step: Step) -> list[Step]:
    """The rule, and the rules that directly follow one another."""
    rules = [step]
    while True:
        following = [r for r in plan.dependents[rules[-1].name] if r.node.inputs == (rules[-1].name,)]
        if len(following) != 1 or following[0].kind != "drops":
            return rules
        rules += following


def _rule(step: Step) -> Keep:
    assert isinstance(step.node.work, Keep)
    return step.node.work


def _causes(rule: Keep, rows: pa.Table, removed: pa.Table) -> _Causes:
    """For each removed row that would not be dropped alone, the row of its group that decided."""
    if not rule.across or not removed.num_rows:
        return {}
    alone = evaluate(rule.where, rows)
    is_dropped = pc.fill_null(pc.equal(alone, False), False)
    causes: dict[Any, dict[str, Any]] = {}  # by group: a row for which the predicate is false, else unknown
    for side in (is_dropped, pc.is_null(alone)):
        selected = rows.filter(side)
        for row, text in zip(selected.to_pylist(), _values(rule, selected).to_pylist(), strict=True):
            causes.setdefault(row[rule.across], {**row, _TEXT: text})
    others = rows.filter(pc.invert(is_dropped))
    others = others.filter(pc.is_in(others["id"], value_set=removed["id"].combine_chunks()))
    found = {row["id"]: causes[row[rule.across]] for row in others.to_pylist()}
    return {row: cause for row, cause in found.items() if cause["id"] != row}


def _write(
    plan: Plan,
    step: Step,
    number: int,
    rows_in: int,
    dropped: pa.Table,
    unknown: pa.Table,
    causes: _Causes,
) -> RowCounts:
    """Commit a rule's part, and return its row counts."""
    rule = _rule(step)
    rejects = rejects_table(_missing(rule, unknown, causes))
    row_counts = RowCounts(
        rows_in=rows_in,
        passed=rows_in - dropped.num_rows - unknown.num_rows,
        dropped=dropped.num_rows,
        rejected=unknown.num_rows,
        rows_out=dropped.num_rows,
        rejects=write_rejects(plan.store, step.folder, number, rejects),
    )
    name = f"{step.folder}/{part_name(number)}"
    write_part(plan.store, name, _dropped(rule, dropped, step.schema, causes), row_counts, durable=False)
    return row_counts


def _dropped(rule: Keep, table: pa.Table, schema: pa.Schema, causes: _Causes) -> pa.Table:
    """The dropped rows with the values that the rule read: "motion_mean=0.12 fps=24"."""
    value, count = _values(rule, table), table.num_rows
    if causes:
        others = [causes.get(row) for row in table.column("id").to_pylist()]
        notes = [f"; with {other['id']}: {other[_TEXT]}" if other else "" for other in others]
        value = pc.binary_join_element_wise(value, pa.array(notes, pa.string()), "")
    return pa.table(
        [table.column("id"), pa.repeat(rule.because, count), pa.repeat(str(rule), count), value],
        schema=schema,
    )


def _values(rule: Keep, table: pa.Table) -> pa.ChunkedArray:
    values = [
        pc.binary_join_element_wise(f"{name}=", pc.fill_null(_text(table.column(name)), "missing"), "")
        for name in names_in(rule.where)
    ]
    return pc.binary_join_element_wise(*values, " ") if len(values) > 1 else values[0]


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return pa.chunked_array([pa.array([str(v) for v in column.to_pylist()], pa.string())])
    return column.cast(pa.string())


def _missing(rule: Keep, table: pa.Table, causes: _Causes) -> dict[str, RowResult]:
    """Why the rule cannot be evaluated for each row: a value is missing, or the result is undefined (0/0)."""
    names = list(dict.fromkeys(names_in(rule.where)))
    found = {}
    for row in table.to_pylist():
        other = causes.get(row["id"], row)
        missing = [name for name in names if other[name] is None or other[name] != other[name]]
        why = f"{', '.join(missing)} missing" if missing else "no value"
        why += f" in row {other['id']}" if other is not row else ""
        found[row["id"]] = RowResult(kind="reject", reason=f"{why}: {rule.where!r} cannot be evaluated")
    return found
