"""Annotate and Expand: one answer per row, row by row where something goes wrong.

A row is looked for in three places before the stage is asked: in earlier tables with the same
content key, in the journals of attempts that were killed, and then it is worked on. A row that
this run's workers died on twice is set aside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ClipmillError, SchemaMismatch, StoreFull, disk_full_error
from manifests.identity import child_id
from manifests.row import Row
from manifests.schema import ARTIFACT, record_of, rows_of, table_of
from manifests.table import RowCounts, part_name, read_row_counts, write_part, write_rejects
from pipeline.engine.inputs import input_table
from pipeline.engine.journal import Answer, Journal
from pipeline.engine.steps.expand_many import equal_keys, tells_many, told_at_once, without_parents
from pipeline.engine.steps.reuse import known_rows
from pipeline.engine.steps.storing import answer_of, rejects_table, stored
from pipeline.engine.task import Done, Effort, Task
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Annotate, Expand, Reject, Stage, Unavailable

_DEATHS = 2  # a row that killed this many workers is set aside
CRASH = Answer(kind="crash", reason=f"its worker died on it {_DEATHS} times")


Batch = Sequence[tuple[str, Row]]  # rows with their ids
Answers = Mapping[str, Answer | Unavailable]
Ask = Callable[[Batch], Answers]


@dataclass(frozen=True)
class Coming:
    """The rows of a part: those to work on, and what an earlier table knows of the others."""

    ids: pa.Array
    fresh: pa.Table
    known: pa.Table


def part(
    plan: Plan,
    step: Step,
    stage: Stage[Any, Any],
    task: Task,
    ask: Ask | None = None,
    came: Coming | None = None,
) -> Done:
    """Make one part of a layer or of a table of children.

    `ask` stands in for asking the stage, and `came` is what `coming` said, where it was asked already.
    """
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return Done(row_counts=read_row_counts(plan.store, name))
    came = came or coming(plan, step, task.number)
    ids, fresh, known, owner = came.ids, came.fresh, came.known, _owner(step)
    journal = Journal(plan.store.scratch(name), plan.run, answers=not stage.from_store)
    done = False
    try:
        many = _many(step, stage, fresh, journal)
        single = without_parents(fresh, many)
        answers = _answers(step, stage, plan, single, journal, ask or partial(asked, plan, step, stage))
        rejects = {row: a for row, a in answers.items() if a.kind}
        records = [record for a in answers.values() for record in a.records]
        rows = _in_order(pa.concat_tables([table_of(records, step.schema), many, known]), ids, owner)
        row_counts = RowCounts(
            rows_in=len(ids),
            passed=len(ids) - len(rejects),
            rejected=len(rejects),
            errors=sum(a.kind != "reject" for a in rejects.values()),
            rows_out=rows.num_rows,
            rejects=write_rejects(plan.store, step.folder, task.number, rejects_table(rejects)),
        )
        write_part(plan.store, name, rows, row_counts)
        done = True
    except SchemaMismatch:
        done = True  # the journal would bring the same answers again, even when the stage is mended
        raise
    finally:
        journal.close(gone=done)
    resumed = fresh.num_rows - journal.begun
    effort = Effort(journal.begun, len(ids) - fresh.num_rows, resumed, journal.redone)
    return Done(row_counts=row_counts, effort=effort)


def coming(plan: Plan, step: Step, number: int) -> Coming:
    """The rows that come to a part."""
    table = input_table(plan, step, number)
    ids = table.column("id").combine_chunks()
    known = known_rows(plan, step, number, ids, _owner(step))
    mask = pc.is_in(ids, value_set=known.column(_owner(step)).combine_chunks())
    return Coming(ids, table.filter(pc.invert(mask)), known)


def _owner(step: Step) -> str:
    return "parent" if step.kind == "children" else "id"


def _many(step: Step, stage: Stage[Any, Any], table: pa.Table, journal: Journal) -> pa.Table:
    """The children that the stage tells at once; none, where a worker died on this part before."""
    if journal.deaths or not tells_many(stage):
        return step.schema.empty_table()
    ids = table.column("id").to_pylist()
    journal.begin(ids)
    children = told_at_once(step, stage, table)
    told = {*children.column("parent").to_pylist()}
    journal.finish({row: Answer() for row in told})
    for row in ids:
        if row not in told:
            journal.leave(row)
    return children


def _in_order(rows: pa.Table, ids: pa.Array, owner: str) -> pa.Table:
    """Rows in the order of the rows they come from; children of one parent in the order given."""
    rank = pc.index_in(rows.column(owner), value_set=ids)
    at = pa.table({"rank": rank, "row": pa.array(range(rows.num_rows), pa.int64())})
    order = pc.sort_indices(at, sort_keys=[("rank", "ascending"), ("row", "ascending")])
    return rows.take(order).combine_chunks()


def _answers(
    step: Step, stage: Stage[Any, Any], plan: Plan, table: pa.Table, journal: Journal, ask: Ask
) -> dict[str, Answer]:
    """An answer for each row of `table`, in order, from the journal or from the stage."""
    ids: list[str] = table.column("id").to_pylist()
    rows = rows_of(table, stage.reads, plan.store)
    answers = {row: journal.answers[row] for row in ids if row in journal.answers}
    for row in ids:
        if row not in answers and deadly(journal, row):
            answers[row] = CRASH
            journal.finish({row: CRASH})
    todo = [(row, value) for row, value in zip(ids, rows, strict=True) if row not in answers]
    suspects = [[pair] for pair in todo if journal.deaths[pair[0]]]
    calm = [pair for pair in todo if not journal.deaths[pair[0]]]
    size = step.node.needs.batch if isinstance(stage, Annotate) else 1
    batches = [calm[i : i + size] for i in range(0, len(calm), size)]
    for batch in [*batches, *suspects]:
        journal.begin([row for row, _ in batch])
        found = worked(step, ask, batch)
        answers |= noted(journal, found)
    return {row: answers[row] for row in ids}


def noted(journal: Journal, found: Answers) -> dict[str, Answer]:
    """The answers, noted in the journal.

    Raises:
        Unavailable: some rows could not be asked about; they are in hand no more.
    """
    ready = {row: answer for row, answer in found.items() if isinstance(answer, Answer)}
    journal.finish(ready)
    away = [(row, answer) for row, answer in found.items() if isinstance(answer, Unavailable)]
    for row, _ in away:
        journal.leave(row)
    for _, why in away:
        raise why
    return ready


def deadly(journal: Journal, row: str) -> bool:
    """Whether a row has killed as many workers as it may."""
    return journal.deaths[row] >= _DEATHS


def worked(step: Step, ask: Ask, batch: Batch) -> Answers:
    """The answers for some rows: together if that can be, row by row if that fails."""
    if len(batch) > 1:
        try:
            return ask(batch)
        except (StoreFull, StageFailed):
            raise
        except Unavailable as away:
            return {row: away for row, _ in batch}
        except Exception:  # whose fault it is shows when the rows are asked one by one
            return {k: v for pair in batch for k, v in worked(step, ask, [pair]).items()}
    last: Exception = Reject()
    for _ in range(1 + step.node.needs.retries):
        try:
            return ask(batch)
        except ClipmillError:
            raise
        except Reject as reject:
            return {batch[0][0]: answer_of(reject)}
        except Unavailable as away:
            return {batch[0][0]: away}
        except OSError as error:  # a full disk is no row's fault
            last = disk_full_error(error, f"step {step.name}")
            if isinstance(last, StoreFull):
                raise last from error
        except Exception as error:
            last = error
    return {batch[0][0]: answer_of(last)}


def asked(plan: Plan, step: Step, stage: Stage[Any, Any], batch: Batch) -> Answers:
    """What the stage says of some rows; what it made is put into the store."""
    if isinstance(stage, Expand):
        (parent, row), *_ = batch
        children = [_child(parent, i, child) for i, child in enumerate(stage.expand(row))]
        _check_ids(step, stage, parent, children)
        if any(kind == ARTIFACT for kind in step.schema.types):
            children = [stored(child, plan.store, step.folder) for child in children]
        return {parent: Answer(records=children)}
    assert isinstance(stage, Annotate)
    given = list(stage.annotate([row for _, row in batch]))
    if len(given) != len(batch):
        raise StageFailed(
            f"{type(stage).__name__} gave {len(given)} answers for {len(batch)} rows",
            where=f"step {step.name}",
            remedy="`annotate` gives one answer per row, in order; a row it cannot answer gets a `Reject`",
        )
    return {row: _told(plan, step, row, said) for (row, _), said in zip(batch, given, strict=True)}


def _told(plan: Plan, step: Step, row: str, said: Row | Exception) -> Answer | Unavailable:
    if isinstance(said, Exception):
        return said if isinstance(said, Unavailable) else answer_of(said)
    return layer(plan, step, row, said)


def layer(plan: Plan, step: Step, row: str, answer: Row) -> Answer:
    """The answer for a row that gets new columns; their artifacts are put into the store."""
    return Answer(records=[stored({"id": row, **record_of(answer)}, plan.store, step.folder)])


def _check_ids(step: Step, stage: Stage[Any, Any], parent: str, children: Sequence[Any]) -> None:
    if len({child["id"] for child in children}) < len(children):
        raise equal_keys(step, stage, parent)


def _child(parent: str, position: int, row: Row) -> dict[str, Any]:
    keys = [getattr(row, name) for name in row.key_names()] or [position]
    return {"id": child_id(parent, *keys), "parent": parent, **record_of(row)}
