"""Keep: one vectorised look at the columns of a part. What is written is what was dropped, and why."""

import pyarrow as pa
import pyarrow.compute as pc

from manifests.predicate import evaluate, names_in
from manifests.table import Books, part_name, read_books, write_part, write_rejects
from pipeline.dag import Keep
from pipeline.journal import Answer
from pipeline.kinds.storing import rejects_table
from pipeline.plan import Plan, Step
from pipeline.reading import input_table
from pipeline.task import Done, Task


def part(plan: Plan, step: Step, task: Task) -> Done:
    """Decide about the rows of one part. A row in which a column is missing is rejected."""
    rule = step.node.work
    assert isinstance(rule, Keep)
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return Done(books=read_books(plan.store, name))
    table = input_table(plan, step, task.number)
    verdict = evaluate(rule.where, table)
    dropped = _dropped(rule, table.filter(pc.fill_null(pc.invert(verdict), False)), step.schema)
    unknown = table.filter(pc.is_null(verdict))
    books = Books(
        rows_in=table.num_rows,
        passed=table.num_rows - dropped.num_rows - unknown.num_rows,
        dropped=dropped.num_rows,
        rejected=unknown.num_rows,
        rows_out=dropped.num_rows,
        rejects=write_rejects(plan.store, step.folder, task.number, rejects_table(_missing(rule, unknown))),
    )
    write_part(plan.store, name, dropped, books, lasting=False)
    return Done(books=books)


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
