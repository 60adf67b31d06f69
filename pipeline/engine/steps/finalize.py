"""Closing a table: its row_counts must balance, part by part, and then its manifest is written."""

from dataclasses import replace

from manifests.errors import Damaged
from manifests.manifest import Manifest, columns_of, describe_part, read_header, read_manifest
from manifests.table import part_name, parts_of
from pipeline.chunked import Chunked
from pipeline.engine.inputs import input_count, said_of
from pipeline.engine.steps.chunked import FOLDER as PIECES
from pipeline.engine.steps.compare import MEMBERS
from pipeline.engine.task import Done, Task
from pipeline.errors import RowCountMismatch
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare


def begin(plan: Plan, step: Step) -> Manifest:
    """The table as far as it is known before its first part; written as `table.json`.

    Raises:
        Damaged: another table stands in the folder, whose whole keys differ though their beginnings do not.
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
    )
    if not table.write_header(plan.store, step.folder):
        standing = read_header(plan.store, step.folder)
        if standing and standing.keys != table.keys:
            raise Damaged(
                f"the folder of step {step.name} holds another table, with other keys",
                where=f"{plan.store.url}/{step.folder}",
                remedy="take the folder away, or choose another store",
            )
    return table


def close(plan: Plan, step: Step, task: Task) -> Done:
    """Write the manifest of a table of `task.number` parts.

    Raises:
        RowCountMismatch: rows entered a part and did not leave it, or a part is missing.
    """
    standing = read_manifest(plan.store, step.folder)
    if standing:
        return Done(row_counts=standing.row_counts)
    numbers = parts_of(plan.store, step.folder)
    if numbers != list(range(task.number)):
        raise _unbalanced(f"{len(numbers)} parts stand where {task.number} should", plan, step)
    parts = tuple(describe_part(plan.store, step.folder, number) for number in numbers)
    for part in parts:
        came, sent = _came(plan, step, part.number), _sent(plan, step, part.number)
        one_each = step.kind in ("layer", "survey")
        lost = one_each and part.row_counts.passed != part.row_counts.rows_out
        if lost or not part.row_counts.is_balanced() or not (came == part.row_counts.rows_in == sent):
            what = f"part {part.number}: {sent} rows were sent, {came} came, {part.row_counts}"
            raise _unbalanced(what, plan, step)
    if step.kind == "drops":
        plan.store.persist([f"{step.folder}/{part_name(number)}" for number in numbers])
    if isinstance(step.node.work, Chunked):
        plan.store.remove_folder(f"{step.folder}/{PIECES}")  # what killed attempts left
    if isinstance(step.node.work, Compare):
        plan.store.remove_folder(f"{step.folder}/{MEMBERS}")  # copies of columns, by group
    begun = read_header(plan.store, step.folder) or begin(plan, step)  # as it was planned, not as it is now
    whole = replace(begun, parts=parts)
    whole.write(plan.store, step.folder)
    return Done(row_counts=whole.row_counts)


def _came(plan: Plan, step: Step, number: int) -> int:
    """How many rows reach a part, counted again from what stands before it."""
    if step.kind == "source":
        return 0
    if step.kind == "model":
        before = plan[step.node.inputs[0]]
        homes = parts_of(plan.store, plan[before.root].folder)
        return sum(input_count(plan, step, home) for home in homes)
    return input_count(plan, step, number)


def _sent(plan: Plan, step: Step, number: int) -> int:
    """How many rows the one step before says it let pass; where several stand before, as `_came`."""
    if len(step.node.inputs) != 1:
        return _came(plan, step, number)
    before = plan[step.node.inputs[0]]
    homes = parts_of(plan.store, before.folder) if step.kind == "model" else [number]
    row_counts = [said_of(plan, before, home)[1] for home in homes]
    makes_rows = before.kind in ("source", "children", "model")
    return sum(b.rows_out if makes_rows else b.passed for b in row_counts)


def _unbalanced(what: str, plan: Plan, step: Step) -> RowCountMismatch:
    return RowCountMismatch(
        f"the row_counts of step {step.name} do not balance: {what}",
        where=f"{plan.store.url}/{step.folder}",
        remedy="this is a defect of clipmill or of the store; keep the folder and report it",
    )
