"""Begins and closes tables: when all parts exist and their row counts balance, the manifest is written."""

from dataclasses import replace
from functools import partial

from manifests.errors import Damaged
from manifests.manifest import Manifest, columns_of, describe_and_count, read_header, read_manifest
from manifests.table import part_name, parts_of
from pipeline.chunked import Chunked
from pipeline.engine.changed_code import recorded_code
from pipeline.engine.inputs import in_parallel, input_count, load_counts, stored_counts
from pipeline.engine.steps.chunked import FOLDER as PIECES
from pipeline.engine.steps.groups.batches import MEMBERS
from pipeline.engine.task import Task, TaskResult
from pipeline.errors import RowCountMismatch
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare


def begin_table(plan: Plan, step: Step) -> Manifest:
    """What is known of a table before its first part; written as `table.json`.

    Raises:
        Damaged: the folder holds another table. Its full keys differ, although their first digits are equal.
    """
    table = Manifest(
        node=step.name,
        kind=step.kind,
        base="" if step.base == step.name else plan[step.base].folder,
        root="" if step.root == step.name else plan[step.root].folder,
        keys={"run": step.keys.run, "content": step.keys.content},
        made_by=step.made_by(),
        inputs=tuple(plan[i].folder for i in step.node.inputs),
        columns=columns_of(step.schema),
        extra=recorded_code(plan, step),
    )
    if not table.write_header(plan.store, step.folder):
        existing = read_header(plan.store, step.folder)
        if existing and existing.keys != table.keys:
            raise Damaged(
                f"the folder of step {step.name} holds another table, with other keys",
                where=f"{plan.store.url}/{step.folder}",
                remedy="delete the folder, or use another store",
            )
    return table


def close_table(plan: Plan, step: Step, task: Task) -> TaskResult:
    """Write the manifest of a table of `task.number` parts.

    Raises:
        RowCountMismatch: rows entered a part and did not leave it, or a part is missing.
    """
    if isinstance(step.node.work, Compare):  # a survey reads them again if a file of a group was deleted
        plan.store.remove_folder(f"{step.folder}/{MEMBERS}")  # copies of columns, by group
    existing = read_manifest(plan.store, step.folder)
    if existing:
        return TaskResult(row_counts=existing.row_counts)
    numbers = parts_of(plan.store, step.folder)
    if numbers != list(range(task.number)):
        raise _mismatch(f"the folder has {len(numbers)} parts instead of {task.number}", plan, step)
    described = in_parallel(plan.store, partial(describe_and_count, plan.store, step.folder), numbers)
    for part, num_rows in described:
        if num_rows != part.row_counts.rows_out:
            raise _mismatch(f"part {part.number} holds {num_rows} rows, {part.row_counts}", plan, step)
    parts = tuple(part for part, _ in described)
    root = plan[plan[step.node.inputs[0]].root] if step.kind == "model" else None
    load_counts(plan, step, parts_of(plan.store, root.folder) if root else numbers)
    for part in parts:
        read, sent = _rows_read(plan, step, part.number), _rows_sent(plan, step, part.number)
        adds_columns = step.kind in ("layer", "survey")
        lost = adds_columns and part.row_counts.passed != part.row_counts.rows_out
        if lost or not part.row_counts.is_balanced() or not (read == part.row_counts.rows_in == sent):
            what = f"part {part.number}: {sent} rows were sent, {read} were read, {part.row_counts}"
            raise _mismatch(what, plan, step)
    if step.kind == "drops":
        plan.store.persist([f"{step.folder}/{part_name(number)}" for number in numbers])
    if isinstance(step.node.work, Chunked):
        plan.store.remove_folder(f"{step.folder}/{PIECES}")  # files of attempts that were killed
    header = read_header(plan.store, step.folder)  # as it was when the table was begun
    table = replace(header or begin_table(plan, step), parts=parts)
    table.write(plan.store, step.folder)
    return TaskResult(row_counts=table.row_counts)


def _rows_read(plan: Plan, step: Step, number: int) -> int:
    """How many rows reach a part, counted again in the files of its inputs."""
    if step.kind == "source":
        return 0
    if step.kind == "model":
        previous = plan[step.node.inputs[0]]
        numbers = parts_of(plan.store, plan[previous.root].folder)
        return sum(input_count(plan, step, number) for number in numbers)
    return input_count(plan, step, number)


def _rows_sent(plan: Plan, step: Step, number: int) -> int:
    """How many rows passed according to the row counts of the only input; with several, as `_rows_read`."""
    if len(step.node.inputs) != 1:
        return _rows_read(plan, step, number)
    previous = plan[step.node.inputs[0]]
    numbers = parts_of(plan.store, previous.folder) if step.kind == "model" else [number]
    counts = [stored_counts(plan, previous, number)[1] for number in numbers]
    makes_rows = previous.kind in ("source", "children", "model")
    return sum(each.rows_out if makes_rows else each.passed for each in counts)


def _mismatch(what: str, plan: Plan, step: Step) -> RowCountMismatch:
    return RowCountMismatch(
        f"the row counts of step {step.name} do not balance: {what}",
        where=f"{plan.store.url}/{step.folder}",
        remedy="this is a bug in clipmill, or the store is damaged; keep the folder and report it",
    )
