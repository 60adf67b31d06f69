"""Keep: one vectorised look at the columns of a part. What is written is what was dropped, and why."""

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import Damaged
from manifests.predicate import evaluate_all, names_in
from manifests.table import RowCounts, part_name, read_row_counts, write_part, write_rejects
from pipeline.dag import Keep
from pipeline.engine.inputs import columns_for, input_ids
from pipeline.engine.journal import Answer
from pipeline.engine.steps.storing import rejects_table
from pipeline.engine.task import Done, Task
from pipeline.planning.plan import Plan, Step


def part(plan: Plan, step: Step, task: Task) -> Done:
    """Decide about the rows of one part. A row in which a column is missing is rejected.

    Rules that follow decide in the same go about what is left: what they read is read once.
    """
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return Done(row_counts=read_row_counts(plan.store, name))
    chain = _chain(plan, step)
    reads = {column: author for each in chain for column, author in each.reads.items()}
    table = columns_for(plan, step.base, reads, task.number, input_ids(plan, step, task.number))
    verdicts = evaluate_all([_rule(each).where for each in chain], table)
    left = pa.repeat(True, table.num_rows)
    row_counts = {}
    for each, verdict in zip(chain, verdicts, strict=True):
        dropped = table.filter(pc.and_(left, pc.fill_null(pc.invert(verdict), False)))
        unknown = table.filter(pc.and_(left, pc.is_null(verdict)))
        row_counts[each.name] = _write(plan, each, task.number, pc.sum(left).as_py() or 0, dropped, unknown)
        left = pc.and_(left, pc.fill_null(verdict, False))
    return Done(row_counts=row_counts.pop(step.name), also=tuple(row_counts.items()))


def is_sound(plan: Plan, step: Step, number: int) -> bool:
    """Whether a part of a table that is not closed has its content; what a power cut left bare is removed."""
    name = f"{step.folder}/{part_name(number)}"
    try:
        read_row_counts(plan.store, name)
    except Damaged:
        plan.store.remove(name)
        return False
    return True


def _chain(plan: Plan, step: Step) -> list[Step]:
    """The rule, and those that come one straight after the other."""
    chain = [step]
    while True:
        after = [r for r in plan.readers[chain[-1].name] if r.node.inputs == (chain[-1].name,)]
        if len(after) != 1 or after[0].kind != "drops":
            return chain
        chain += after


def _rule(step: Step) -> Keep:
    assert isinstance(step.node.work, Keep)
    return step.node.work


def _write(plan: Plan, step: Step, number: int, came: int, dropped: pa.Table, unknown: pa.Table) -> RowCounts:
    """Commit a rule's part, and give its row_counts."""
    rule = _rule(step)
    row_counts = RowCounts(
        rows_in=came,
        passed=came - dropped.num_rows - unknown.num_rows,
        dropped=dropped.num_rows,
        rejected=unknown.num_rows,
        rows_out=dropped.num_rows,
        rejects=write_rejects(plan.store, step.folder, number, rejects_table(_missing(rule, unknown))),
    )
    name = f"{step.folder}/{part_name(number)}"
    write_part(plan.store, name, _dropped(rule, dropped, step.schema), row_counts, durable=False)
    return row_counts


def _dropped(rule: Keep, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The dropped rows with the values that decided: "motion_mean=0.12 fps=24"."""
    said = [
        pc.binary_join_element_wise(f"{name}=", pc.fill_null(_text(table.column(name)), "missing"), "")
        for name in dict.fromkeys(names_in(rule.where))
    ]
    value = pc.binary_join_element_wise(*said, " ") if len(said) > 1 else said[0]
    count = table.num_rows
    return pa.table(
        [table.column("id"), pa.repeat(rule.because, count), pa.repeat(rule.where, count), value],
        schema=schema,
    )


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return pa.chunked_array([pa.array([str(v) for v in column.to_pylist()], pa.string())])
    return column.cast(pa.string())


def _missing(rule: Keep, table: pa.Table) -> dict[str, Answer]:
    """Why nothing can be said of each row: a column is missing, or what is asked has no value (0/0)."""
    names = list(dict.fromkeys(names_in(rule.where)))
    found = {}
    for row in table.to_pylist():
        lacks = [name for name in names if row[name] is None or row[name] != row[name]]
        why = f"{', '.join(lacks)} missing" if lacks else "no value"
        found[row["id"]] = Answer(kind="reject", reason=f"{why}: {rule.where!r} cannot be said")
    return found
