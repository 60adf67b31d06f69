"""The columns of the rows of a run: all that its steps added to a row and to the rows it was made from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from manifests.errors import Damaged, UnknownColumn, UnknownName
from manifests.messages import closest_name, join_names, suggest_names
from manifests.runs.run_history import RunHistory, StepHistory
from manifests.schema import ARTIFACT

CLIPS, VIDEOS = "clips", "videos"
KEPT, DROPPED, REJECTED, ERROR, PENDING = "kept", "dropped", "rejected", "error", "pending"
OUTCOME_COLUMNS = {
    "outcome": "kept, dropped by a rule, rejected by a stage, error: a stage failed on it, or pending: not "
    "processed by all steps yet",
    "removed_by": "the step that dropped or rejected the row, or failed on it",
    "reason": "the reason of the rule, or why the row was rejected",
    "detail": "the values that the rule read, such as motion_mean=0.12, or the message of the error",
}
COUNT_COLUMNS = {
    "clips": "number of clips that were made from the row",
    "clips_kept": "number of these clips that every step kept",
    "clips_dropped": "number of these clips that a rule dropped",
    "clips_rejected": "number of these clips that a stage rejected",
    "clips_error": "number of these clips on which a stage failed",
    "clips_pending": "number of these clips that a step has not processed yet",
}
_TYPES = {
    "string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(),
    "binary": pa.binary(), "float": pa.float32(),
}  # fmt: skip
_LIST = "list<element: "


@dataclass(frozen=True)
class RowColumn:
    """A column of the rows of a table.

    Attributes:
        step: The step that adds it; None for an outcome or a count, which are computed.
        column: Its name in the table of that step.
        field: Its name, type, unit and meaning in the result. An artifact is its path in the store.
    """

    step: StepHistory | None
    column: str
    field: pa.Field

    @property
    def is_large(self) -> bool:
        """Whether the column is read only if it is named: vectors, lists and bytes."""
        kind = self.field.type
        return bool(pa.types.is_list(kind) or pa.types.is_binary(kind))


def find_table(history: RunHistory, of: str) -> StepHistory:
    """The step that made the rows `of`: "clips", "videos", or the name of a step that makes rows.

    Clips are the rows of `clip_table`. Videos are the rows from which the clips were made.

    Raises:
        UnknownName: no step makes such rows.
    """
    made = {step.name: step for step in history if step.base == step.name}
    if of in made:
        return made[of]
    clips = clip_table(history)
    if of == CLIPS and clips:
        return clips
    if of == VIDEOS and clips and clips.parents:
        return history[clips.parents]
    names = [CLIPS, *([VIDEOS] if clips and clips.parents else []), *made]
    hint = closest_name(of, names)
    raise UnknownName(
        f"run {history.run} has no rows {of!r}" if history.run else f"this store has no rows {of!r}",
        where=history.store.url,
        remedy=f"did you mean {hint!r}?" if hint else f"name one of: {join_names(names)}",
    )


def clip_table(history: RunHistory) -> StepHistory | None:
    """The step that made the clips: the first rows with a start and an end in seconds, else the last rows.

    None if no step makes rows.
    """
    rows = [step for step in history if step.base == step.name and step.kind != "model"]
    with_times = (s for s in rows if {"start_s", "end_s"} <= {str(c["name"]) for c in s.columns})
    return next(with_times, rows[-1] if rows else None)


def columns_of_rows(history: RunHistory, base: StepHistory) -> dict[str, RowColumn]:
    """The columns of the rows of a table by name: ids, outcome, then the columns in the order of the steps.

    Columns of the rows from which they were made come first. If two steps add a column of the same name, or
    if a name stands for an outcome, the later one is STEP_NAME.
    """
    ids = ["id", "parent"] if base.kind == "children" else ["id"]
    found = {name: RowColumn(base, name, pa.field(name, pa.string())) for name in ids}
    found |= _computed(OUTCOME_COLUMNS, pa.string())
    if base.name == _parent_of_clips(history):
        found |= _computed(COUNT_COLUMNS, pa.int64())
    for step in _steps_with_columns(history, base):
        for column in step.columns:
            if column["name"] in ("id", "parent"):
                continue
            name = str(column["name"])
            while name in found:
                name = f"{step.name}_{name}"
            found[name] = RowColumn(step, str(column["name"]), _field(name, column, step))
    return found


def choose_columns(
    found: dict[str, RowColumn], names: Iterable[str] | None, where: str = ""
) -> dict[str, RowColumn]:
    """The named columns in their order; by default all except vectors, lists and bytes.

    Raises:
        UnknownColumn: a name is not a column.
    """
    if names is None:
        return {name: column for name, column in found.items() if not column.is_large}
    chosen = {}
    for name in names:
        if name not in found:
            raise UnknownColumn(
                f"there is no column {name!r} here",
                where=where,
                remedy=suggest_names(name, found) or f"the columns: {join_names(found)}",
            )
        chosen[name] = found[name]
    return chosen


def ancestors(history: RunHistory, base: StepHistory) -> list[StepHistory]:
    """The steps that made the rows from which the rows of `base` were made, the nearest first."""
    found = []
    while base.parents:
        base = history[base.parents]
        found.append(base)
    return found


def _parent_of_clips(history: RunHistory) -> str:
    clips = clip_table(history)
    return clips.parents if clips else ""


def _steps_with_columns(history: RunHistory, base: StepHistory) -> Iterator[StepHistory]:
    for owner in (*reversed(ancestors(history, base)), base):
        yield owner
        for step in history:
            if step.base == owner.name and step.kind in ("layer", "survey"):
                yield step


def _computed(meanings: dict[str, str], kind: pa.DataType) -> dict[str, RowColumn]:
    return {
        name: RowColumn(None, name, pa.field(name, kind, metadata={"meaning": meaning}))
        for name, meaning in meanings.items()
    }


def _field(name: str, column: Mapping[str, Any], step: StepHistory) -> pa.Field:
    note = {key: str(column.get(key, "")) for key in ("meaning", "unit")}
    return pa.field(name, _type_of(str(column["type"]), step), metadata=note)


def _type_of(text: str, step: StepHistory) -> pa.DataType:
    if text == str(ARTIFACT):
        return pa.string()
    if text.startswith(_LIST):
        return pa.list_(pa.field("element", _type_of(text.removeprefix(_LIST)[:-1], step)))
    if text not in _TYPES:
        raise Damaged(
            f"step {step.name} has a column of the unknown type {text}",
            where=step.folder,
            remedy="run `clipmill manifest check` for details",
        )
    return _TYPES[text]
