"""Chunked stages: rows are split into pieces, workers process them, and one task joins them to a part.

FOLDER/pieces/part-000003/split.json        the rows that were split, with their pieces
FOLDER/pieces/part-000003/0002.00007.json   the result of piece 7 of the third of these rows
FOLDER/pieces/part-000003/0002.00007/…      the artifacts of this result

Each file is committed once. A piece whose file exists is done, whichever process was killed meanwhile,
and a split that exists is not made again. All these files are deleted when the part is committed. A piece
that is rejected, fails or kills its workers rejects its row, as the row itself would be rejected.
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
from manifests.table import part_name
from pipeline.chunked import Chunked
from pipeline.engine.batches.attempts import Batch, Compute, run_with_retries
from pipeline.engine.inputs import read_columns
from pipeline.engine.journal import RowResult
from pipeline.engine.repair import existing_part
from pipeline.engine.steps import rowwise
from pipeline.engine.steps.storing import result_from_error, save_artifacts
from pipeline.engine.task import Task, TaskResult
from pipeline.planning.plan import Plan, Step
from pipeline.row_json import from_json, round_trip, to_json
from pipeline.stage import Reject, Stage

FOLDER = "pieces"
SplitRows = Sequence[tuple[str, Sequence[Row]]]  # the ids of the split rows, with their pieces


@dataclass(frozen=True)
class _PartPieces:
    """The pieces of one part."""

    plan: Plan
    step: Step
    stage: Chunked[Any, Any, Any, Any]
    number: int

    @property
    def folder(self) -> str:
        return f"{self.step.folder}/{FOLDER}/part-{self.number:06d}"

    def read_split(self) -> SplitRows | None:
        """The rows that were split, or None if the part was not split."""
        try:
            found = json.loads(self.plan.store.read(f"{self.folder}/split.json"))
        except FileNotFoundError:
            return None
        return [(row, [self.stage.piece(**from_json(piece)) for piece in pieces]) for row, pieces in found]

    def read_result(self, name: str) -> RowResult | None:
        """The result of a piece, or None if it is not done."""
        try:
            return RowResult.from_json(json.loads(self.plan.store.read(f"{self.folder}/{name}.json")))
        except FileNotFoundError:
            return None


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Make a part. If a row has several pieces, return instead the pieces to process before `join`."""
    assert isinstance(stage, Chunked)
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return existing_part(plan, step, stage, task)
    part = _PartPieces(plan, step, stage, task.number)
    rows = part.read_split()
    if rows is None:
        inputs = rowwise.part_input(plan, step, task.number)
        new = _split(part, inputs.new)
        if all(len(pieces) < 2 for _, pieces in new):
            compute = _compute(part, partial(_annotate_row, part, dict(new)))
            return rowwise.part(plan, step, stage, task, compute, inputs)
        text = json.dumps([(row, [to_json(record_of(piece)) for piece in pieces]) for row, pieces in new])
        plan.store.create(f"{part.folder}/split.json", text.encode())
        rows = part.read_split() or ()
    done = set(plan.store.names(part.folder))
    names = [name for index, (_, pieces) in enumerate(rows) for name in _piece_names(index, pieces)]
    todo = [name for name in names if f"{name}.json" not in done]
    return TaskResult(pieces=tuple(todo)) if todo else join(plan, step, stage, task)


def piece(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Process one piece of one row, and commit its result."""
    assert isinstance(stage, Chunked)
    part = _PartPieces(plan, step, stage, task.number)
    rows = part.read_split()
    if rows is not None:  # otherwise another driver has joined the pieces
        _process_piece(part, rows, task.group)
    return TaskResult()


def join(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Make a part from the results of its pieces. Rows that were not split are processed here."""
    assert isinstance(stage, Chunked)
    part = _PartPieces(plan, step, stage, task.number)
    rows = part.read_split() or ()
    indexes = {row: index for index, (row, _) in enumerate(rows)}
    compute = _compute(part, partial(_join_row, part, rows, indexes))
    result = rowwise.part(plan, step, stage, task, compute)
    if rows:
        plan.store.remove_folder(part.folder)
    return result


def _piece_names(index: int, pieces: Sequence[Row]) -> list[str]:
    return [f"{index:04d}.{number:05d}" for number in range(len(pieces))]


def _split(part: _PartPieces, new: pa.Table) -> SplitRows:
    """The rows to process, in pieces. A row that cannot be split is left out, and rejected later."""
    rows = rows_of(new, part.stage.reads, part.plan.store)
    journal = rowwise.open_journal(part.plan, f"{part.step.folder}/{part_name(part.number)}")
    found = []
    try:
        for row, value in zip(new.column("id").to_pylist(), rows, strict=True):
            if row in journal.results or rowwise.has_crashed_workers(journal, row):
                continue
            journal.start([row])
            try:
                found.append((row, [round_trip(piece) for piece in part.stage.split(value)]))
            except ClipmillError:
                raise
            except Exception:
                pass
            journal.requeue(row)
    finally:
        journal.close(delete=False)
    return found


def _compute(part: _PartPieces, annotate: Callable[[str, Row], Row | RowResult]) -> Compute:
    """A function that computes the results of a batch row by row."""

    def compute(batch: Batch) -> dict[str, RowResult]:
        results = {}
        for row, value in batch:
            try:
                found = annotate(row, value)
            except Reject as reject:
                found = result_from_error(reject)
            if not isinstance(found, RowResult):
                found = rowwise.layer_result(part.plan, part.step, row, found)
            results[row] = found
        return results

    return compute


def _annotate_row(part: _PartPieces, split: dict[str, Sequence[Row]], row: str, value: Row) -> Row:
    """The columns of a row, computed in this process. `split` holds the pieces of rows split before."""
    pieces = split[row] if row in split else part.stage.split(value)
    columns: Row = part.stage.annotate_pieces(value, pieces)
    return columns


def _join_row(
    part: _PartPieces, rows: SplitRows, indexes: dict[str, int], row: str, value: Row
) -> Row | RowResult:
    """The columns of a row from the results of its pieces, or the result of its first rejected piece."""
    if row not in indexes:
        return _annotate_row(part, {}, row, value)
    results = []
    for name in _piece_names(indexes[row], rows[indexes[row]][1]):
        result = part.read_result(name) or _process_piece(part, rows, name)
        if result.kind:
            return result
        (record,) = result.records
        store = part.plan.store
        bound = {n: v.bind(store) if isinstance(v, Artifact) else v for n, v in record.items()}
        results.append(part.stage.result(**bound))
    joined: Row = part.stage.join(value, results)
    return replace(joined, **_copied_artifacts(part, joined))  # type: ignore[type-var]  # rows are dataclasses


def _process_piece(part: _PartPieces, rows: SplitRows, name: str) -> RowResult:
    """The result of a piece: the committed one, or a new one, which is committed."""
    committed = part.read_result(name)
    if committed:
        return committed
    plan, step, stage = part.plan, part.step, part.stage
    index, number = map(int, name.split("."))
    row, pieces = rows[index]
    base = plan[step.node.inputs[0]].base
    table = read_columns(plan, base, step.reads, part.number, pa.array([row], pa.string()))
    (value,) = rows_of(table, stage.reads, plan.store)
    journal = rowwise.open_journal(plan, f"{part.folder}/{name}.json")
    done = False
    try:
        if rowwise.has_crashed_workers(journal, name):
            result = rowwise.crash_result(plan, journal, name)
        else:
            journal.start([name])
            results = run_with_retries(step, partial(_work, part, pieces[number]), [(name, value)])
            result = rowwise.record_results(journal, results)[name]
        plan.store.create(f"{part.folder}/{name}.json", json.dumps(result.to_json()).encode())
        done = True
    finally:
        journal.close(delete=done)
    return part.read_result(name) or result


def _work(part: _PartPieces, piece: Row, batch: Batch) -> dict[str, RowResult]:
    ((name, value),) = batch
    record = record_of(part.stage.work(value, piece))
    return {name: RowResult(records=[save_artifacts(record, part.plan.store, f"{part.folder}/{name}")])}


def _copied_artifacts(part: _PartPieces, joined: Row) -> dict[str, Artifact]:
    """Artifacts of pieces that `join` returned, as copies that are saved among the artifacts of rows."""
    store, found = part.plan.store, {}
    for name, value in record_of(joined).items():
        if (
            isinstance(value, Artifact)
            and value.store is not None
            and value.path.startswith(f"{part.folder}/")
        ):
            copy = store.scratch(f"{part.folder}/split.json") / uuid.uuid4().hex
            with value.local() as path:
                shutil.copyfile(path, copy)
            names = PurePosixPath(value.path).relative_to(part.folder).parts[1:]
            found[name] = replace(value, path="/".join(names), file=copy, store=None)
    return found
