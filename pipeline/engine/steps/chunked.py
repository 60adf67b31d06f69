"""Chunked: the rows of a part in pieces, which several workers take before they are joined to the part.

FOLDER/pieces/part-000003/split.json        the rows that were split, with their pieces
FOLDER/pieces/part-000003/0002.00007.json   what piece 7 of the third of these rows gave, or why it did not
FOLDER/pieces/part-000003/0002.00007/…      its artifacts

Each file is committed once, so that a piece that stands is done, whoever was killed meanwhile, and a
split that stands is kept to. All of it goes when the part stands. A piece that is refused, fails or
kills its workers sets its row aside, as the row itself would have.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from manifests.artifact import Artifact
from manifests.errors import ClipmillError
from manifests.row import Row
from manifests.schema import record_of, rows_of
from manifests.table import part_name, read_row_counts
from pipeline.chunked import Chunked
from pipeline.engine.inputs import columns_for
from pipeline.engine.journal import Answer, Journal
from pipeline.engine.steps import rowwise
from pipeline.engine.steps.storing import answer_of, stored
from pipeline.engine.task import Done, Task
from pipeline.planning.plan import Plan, Step
from pipeline.row_json import from_json, round_trip, to_json
from pipeline.stage import Reject, Stage

FOLDER = "pieces"
Rows = Sequence[tuple[str, Sequence[Row]]]  # the ids of rows that were split, with their pieces


@dataclass(frozen=True)
class _Here:
    """The pieces of one part."""

    plan: Plan
    step: Step
    stage: Chunked[Any, Any, Any, Any]
    number: int

    @property
    def folder(self) -> str:
        return f"{self.step.folder}/{FOLDER}/part-{self.number:06d}"

    def split(self) -> Rows | None:
        """The rows that were split, if the part was."""
        try:
            found = json.loads(self.plan.store.read(f"{self.folder}/split.json"))
        except FileNotFoundError:
            return None
        return [(row, [self.stage.piece(**from_json(piece)) for piece in pieces]) for row, pieces in found]

    def answer(self, name: str) -> Answer | None:
        """What a piece gave, if it is done."""
        try:
            return Answer.of_plain(json.loads(self.plan.store.read(f"{self.folder}/{name}.json")))
        except FileNotFoundError:
            return None


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Make a part; or, where a row of it has several pieces, name those that are to be done before `join`."""
    assert isinstance(stage, Chunked)
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return Done(row_counts=read_row_counts(plan.store, name))
    here = _Here(plan, step, stage, task.number)
    rows = here.split()
    if rows is None:
        came = rowwise.coming(plan, step, task.number)
        fresh = _split(here, came.fresh)
        if all(len(pieces) < 2 for _, pieces in fresh):
            known = dict(fresh)
            return rowwise.part(plan, step, stage, task, _ask(here, partial(_at_once, here, known)), came)
        text = json.dumps([(row, [to_json(record_of(piece)) for piece in pieces]) for row, pieces in fresh])
        plan.store.create(f"{here.folder}/split.json", text.encode())
        rows = here.split() or ()
    done = set(plan.store.names(here.folder))
    todo = [
        n for place, (_, pieces) in enumerate(rows) for n in _names(place, pieces) if f"{n}.json" not in done
    ]
    return Done(pieces=tuple(todo)) if todo else join(plan, step, stage, task)


def piece(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Work on one piece of one row, and commit what it gives."""
    assert isinstance(stage, Chunked)
    here = _Here(plan, step, stage, task.number)
    rows = here.split()
    if rows is not None:  # else another driver has joined them
        _work(here, rows, task.group)
    return Done()


def join(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Make a part from the pieces that are done; what was not split is worked on at once."""
    assert isinstance(stage, Chunked)
    here = _Here(plan, step, stage, task.number)
    rows = here.split() or ()
    places = {row: place for place, (row, _) in enumerate(rows)}
    done = rowwise.part(plan, step, stage, task, _ask(here, partial(_joined, here, rows, places)))
    if rows:
        plan.store.remove_folder(here.folder)
    return done


def _names(place: int, pieces: Sequence[Row]) -> list[str]:
    return [f"{place:04d}.{index:05d}" for index in range(len(pieces))]


def _split(here: _Here, fresh: pa.Table) -> Rows:
    """The rows to work on, in pieces. One that cannot be split is set aside when it is worked on."""
    rows = rows_of(fresh, here.stage.reads, here.plan.store)
    journal = Journal(here.plan.store.scratch(f"{here.step.folder}/{part_name(here.number)}"), here.plan.run)
    found = []
    try:
        for row, value in zip(fresh.column("id").to_pylist(), rows, strict=True):
            if row in journal.answers or rowwise.deadly(journal, row):
                continue
            journal.begin([row])
            try:
                found.append((row, [round_trip(piece) for piece in here.stage.split(value)]))
            except ClipmillError:
                raise
            except Exception:
                pass
            journal.leave(row)
    finally:
        journal.close(gone=False)
    return found


def _ask(here: _Here, answer: Callable[[str, Row], Row | Answer]) -> rowwise.Ask:
    """Asks row by row."""

    def ask(batch: rowwise.Batch) -> dict[str, Answer]:
        found = {}
        for row, value in batch:
            try:
                given = answer(row, value)
            except Reject as reject:
                given = answer_of(reject)
            found[row] = (
                given if isinstance(given, Answer) else rowwise.layer(here.plan, here.step, row, given)
            )
        return found

    return ask


def _at_once(here: _Here, known: dict[str, Sequence[Row]], row: str, value: Row) -> Row:
    """The columns of a row, worked out in this process; its pieces may be known already."""
    pieces = known[row] if row in known else here.stage.split(value)
    columns: Row = here.stage.whole(value, pieces)
    return columns


def _joined(here: _Here, rows: Rows, places: dict[str, int], row: str, value: Row) -> Row | Answer:
    """The columns of a row from what its pieces gave, or the answer of the first that gave nothing."""
    if row not in places:
        return _at_once(here, {}, row, value)
    results = []
    for name in _names(places[row], rows[places[row]][1]):
        answer = here.answer(name) or _work(here, rows, name)
        if answer.kind:
            return answer
        (record,) = answer.records
        store = here.plan.store
        bound = {n: v.bind(store) if isinstance(v, Artifact) else v for n, v in record.items()}
        results.append(here.stage.result(**bound))
    joined: Row = here.stage.join(value, results)
    return replace(joined, **_handed_on(here, joined))  # type: ignore[type-var]  # rows are dataclasses


def _work(here: _Here, rows: Rows, name: str) -> Answer:
    """What a piece gives; committed, where nothing stands yet."""
    standing = here.answer(name)
    if standing:
        return standing
    plan, step, stage = here.plan, here.step, here.stage
    place, index = map(int, name.split("."))
    row, pieces = rows[place]
    base = plan[step.node.inputs[0]].base
    table = columns_for(plan, base, step.reads, here.number, pa.array([row], pa.string()))
    (value,) = rows_of(table, stage.reads, plan.store)
    journal = Journal(plan.store.scratch(f"{here.folder}/{name}.json"), plan.run)
    done = False
    try:
        if rowwise.deadly(journal, name):
            answer = rowwise.CRASH
        else:
            journal.begin([name])
            found = rowwise.worked(step, partial(_result, here, pieces[index]), [(name, value)])
            answer = rowwise.noted(journal, found)[name]
        plan.store.create(f"{here.folder}/{name}.json", json.dumps(answer.plain()).encode())
        done = True
    finally:
        journal.close(gone=done)
    return here.answer(name) or answer


def _result(here: _Here, piece: Row, batch: rowwise.Batch) -> dict[str, Answer]:
    ((name, value),) = batch
    record = record_of(here.stage.work(value, piece))
    return {name: Answer(records=[stored(record, here.plan.store, f"{here.folder}/{name}")])}


def _handed_on(here: _Here, joined: Row) -> dict[str, Artifact]:
    """Artifacts that a piece made and `join` handed on, copied to where those of rows stand."""
    store, found = here.plan.store, {}
    for name, value in record_of(joined).items():
        if (
            isinstance(value, Artifact)
            and value.store is not None
            and value.path.startswith(f"{here.folder}/")
        ):
            copy = store.scratch(f"{here.folder}/split.json") / uuid.uuid4().hex
            with value.local() as path:
                shutil.copyfile(path, copy)
            asked = PurePosixPath(value.path).relative_to(here.folder).parts[1:]
            found[name] = replace(value, path="/".join(asked), file=copy, store=None)
    return found
