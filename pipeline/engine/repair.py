"""Makes rows again whose files were deleted, and writes the files under the recorded names.

The tables do not change: a file is accepted only if it has the recorded digest. Where the result of a stage
differs, for example with another version of an encoder, the table is marked as replaced: the next run makes a
new table, copies the rows whose files exist, and makes the other rows again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from manifests.artifact import Artifact
from manifests.identity import child_id
from manifests.row import Row
from manifests.schema import record_of, rows_of
from manifests.table import part_name, read_part, read_row_counts
from pipeline.engine.batches.memory import free_memory, is_out_of_memory
from pipeline.engine.batches.size import BatchSize, batch_size
from pipeline.engine.inputs import read_columns
from pipeline.engine.missing_files import artifact_columns, lacks_file
from pipeline.engine.task import Task, TaskResult, WorkCounts
from pipeline.errors import StageFailed
from pipeline.planning.plan import RETRIES, Plan, Step
from pipeline.stage import Annotate, Expand, Stage, Unavailable

Record = Mapping[str, Any]


def existing_part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """The result for a part that exists. Makes its rows again that lack a file.

    Raises:
        StageFailed: a row cannot be made again, or its file differs from the recorded one.
    """
    name = f"{step.folder}/{part_name(task.number)}"
    lacking = rows_without_files(plan, step, name)
    if lacking:
        owner = "parent" if step.kind == "children" else "id"
        ids = list(dict.fromkeys(record[owner] for record in lacking))
        base = plan[step.node.inputs[0]].base
        table = read_columns(plan, base, step.reads, task.number, pa.array(ids, pa.string()))
        rows = rows_of(table, stage.reads, plan.store)
        restore(plan, step, lacking, _made_again(step, stage, ids, rows))
    return TaskResult(row_counts=read_row_counts(plan.store, name), work=WorkCounts(processed=len(lacking)))


def rows_without_files(plan: Plan, step: Step, name: str) -> list[dict[str, Any]]:
    """The rows in a file of a step's table that lack a file now."""
    columns = artifact_columns(step)
    if not columns:
        return []
    rows = read_part(plan.store, name)
    candidates = rows.filter(lacks_file(plan.store, plan.run, rows, columns)).to_pylist()
    exists = {
        path: plan.store.exists(path)
        for path in {row[column]["path"] for row in candidates for column in columns if row[column]}
    }
    return [row for row in candidates if any(row[c] and not exists[row[c]["path"]] for c in columns)]


def restore(plan: Plan, step: Step, lacking: Sequence[Record], made: Iterable[tuple[str, Row]]) -> None:
    """Write the missing files of some rows.

    Args:
        lacking: The stored rows that lack files.
        made: The same rows made again, and perhaps others, each with its id.

    Raises:
        StageFailed: a file differs from the recorded one, or a row is missing among `made`.
    """
    stored = {row["id"]: row for row in lacking}
    restored = {row: _restore_files(plan, stored.get(row), record_of(columns)) for row, columns in made}
    differ = [row for row in stored if not restored.get(row)]
    if differ:
        plan.store.create(f"{RETRIES}/{step.keys.run}", b"")
        rows = "row" if len(differ) == 1 else "rows"
        raise StageFailed(
            f"step {step.name} made {len(differ)} {rows} again, because files were deleted, and the new "
            "files differ from the recorded ones",
            where=f"row {differ[0]}",
            remedy="run again: the step gets a new table, to which the rows with their files are copied",
        )


def _restore_files(plan: Plan, stored: Record | None, made: Record) -> bool:
    """Write those files of a row that are missing. Returns whether all have the recorded content."""
    equal = True
    for name, artifact in made.items():
        if not isinstance(artifact, Artifact):
            continue
        recorded = stored[name] if stored else None
        if recorded and not plan.store.exists(recorded["path"]):
            if artifact.sha256 == recorded["sha256"] and (artifact.data is not None or artifact.file):
                replace(artifact, path=recorded["path"]).save(plan.store, "")
                continue
            equal = False
        if artifact.file:
            artifact.file.unlink(missing_ok=True)
    return equal and stored is not None


def _made_again(
    step: Step, stage: Stage[Any, Any], ids: Sequence[str], rows: Sequence[Row]
) -> Iterable[tuple[str, Row]]:
    """The new columns of each row, or its children, with their ids."""
    try:
        if isinstance(stage, Expand):
            for parent, row in zip(ids, rows, strict=True):
                yield from ((_child_id(parent, i, c), c) for i, c in enumerate(stage.expand(row)))
            return
        assert isinstance(stage, Annotate)
        size = batch_size(step, stage)
        for batch in size.split(list(zip(ids, rows, strict=True))):
            yield from _annotate(stage, batch, size)
    except (Unavailable, StageFailed):
        raise
    except Exception as error:
        raise StageFailed(
            f"step {step.name} cannot make {len(ids)} rows again whose files were deleted: {error}",
            where=f"rows {', '.join(ids[:3])} …",
            remedy="restore the files or the source videos, and run again",
        ) from error


def _annotate(
    stage: Annotate[Any, Any], batch: Sequence[tuple[str, Row]], size: BatchSize
) -> Iterator[tuple[str, Row]]:
    """The new columns of each row of a batch, which is divided while memory is not enough."""
    try:
        results = list(stage.annotate([row for _, row in batch]))
    except Exception as error:
        if len(batch) == 1 or not is_out_of_memory(error):
            raise
        results = None
    if results is None:  # the exception, which holds the batch, is gone
        free_memory()
        size.shrink(len(batch))
        for smaller in size.split(batch):
            yield from _annotate(stage, smaller, size)
        return
    for (row_id, _), result in zip(batch, results, strict=True):
        if isinstance(result, Exception):
            raise result
        yield row_id, result


def _child_id(parent: str, position: int, child: Row) -> str:
    return child_id(parent, *([getattr(child, name) for name in child.key_names()] or [position]))
