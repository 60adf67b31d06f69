"""Reads the rows of a run part by part: columns of all steps are joined by id, each row with its outcome."""

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from manifests.runs.columns import (
    CLIPS,
    COUNT_COLUMNS,
    DROPPED,
    ERROR,
    KEPT,
    OUTCOME_COLUMNS,
    PENDING,
    REJECTED,
    RowColumn,
    ancestors,
    columns_of_rows,
    find_table,
)
from manifests.runs.run_history import RunHistory, StepHistory
from manifests.table import RowCounts, part_name, read_part


class RowReader:
    """Reads the rows that one step made, with the columns that all steps of the run added to them.

    Args:
        history: The steps of the run.
        of: "clips", "videos", or the name of a step that makes rows.

    Attributes:
        base: The step that made the rows.
        columns: All columns by name.
    """

    def __init__(self, history: RunHistory, of: str = CLIPS) -> None:
        self.history = history
        self.base = find_table(history, of)
        self.columns = columns_of_rows(history, self.base)
        self._counts = lru_cache(maxsize=None)(history.row_counts)

    @property
    def parts(self) -> list[int]:
        """The numbers of the parts that exist."""
        return sorted(self._counts(self.base.name))

    @property
    def rows(self) -> int:
        """The number of rows in these parts."""
        return sum(counts.rows_out for counts in self._counts(self.base.name).values())

    def read(self, number: int, chosen: Mapping[str, RowColumn]) -> pa.Table:
        """Read columns of part `number`, in the order of the ids in its table. Artifacts are paths."""
        arrays = self._arrays(number, chosen)
        fields = [column.field for column in chosen.values()]
        return pa.table([_plain(arrays[f.name], f) for f in fields], schema=pa.schema(fields))

    def read_row(self, number: int, row: str) -> pa.Table:
        """Read all columns of the row with the id `row`, as they are stored: a table with one row."""
        table = pa.table(self._arrays(number, self.columns))
        return table.filter(pc.equal(table["id"], row))

    def _arrays(self, number: int, chosen: Mapping[str, RowColumn]) -> dict[str, pa.Array]:
        own = [c.column for c in chosen.values() if c.step is self.base]
        links = ["parent"] if self.base.kind == "children" else []
        part = self._read(self.base, number, [*links, *own])
        ids = part["id"]
        arrays: dict[str, pa.Array] = {}
        for step, columns in _by_step(chosen).items():
            owner = self.history[step].base
            keys = ids if owner == self.base.name else self._ancestor_ids(part, owner, number)
            arrays |= self._joined(self.history[step], number, keys, columns, part)
        if OUTCOME_COLUMNS.keys() & chosen.keys():
            arrays |= self._outcomes(ids, number)
        if COUNT_COLUMNS.keys() & chosen.keys() - arrays.keys():
            arrays |= self._clip_counts(ids, number)
        return arrays

    def _read(self, step: StepHistory, number: int, columns: Iterable[str]) -> pa.Table:
        """Read columns and the id of a part; no rows if the part does not exist."""
        names = list(dict.fromkeys(["id", *columns]))
        if number not in self._counts(step.name):
            return pa.table({name: pa.array([], pa.string()) for name in names})
        return read_part(self.history.store, f"{step.folder}/{part_name(number)}", names).combine_chunks()

    def _joined(
        self,
        step: StepHistory,
        number: int,
        keys: pa.ChunkedArray,
        columns: Mapping[str, RowColumn],
        own: pa.Table,
    ) -> dict[str, pa.Array]:
        """Columns of a step for the rows with the ids `keys`; null where the step has no such row."""
        if step is self.base:
            return {name: own[column.column] for name, column in columns.items()}
        part = self._read(step, number, [column.column for column in columns.values()])
        if part["id"].equals(keys):
            return {name: part[column.column] for name, column in columns.items()}
        places = pc.index_in(keys, value_set=part["id"])
        return {name: part[column.column].take(places) for name, column in columns.items()}

    def _ancestor_ids(self, part: pa.Table, owner: str, number: int) -> pa.ChunkedArray:
        """For each row of a part of the base, the id of the row of `owner` from which it was made."""
        keys = part["parent"]
        for step in ancestors(self.history, self.base):
            if step.name == owner:
                break
            above = self._read(step, number, ["parent"])
            keys = above["parent"].take(pc.index_in(keys, value_set=above["id"]))
        return keys

    def _outcomes(self, ids: pa.ChunkedArray, number: int) -> dict[str, pa.Array]:
        """The outcome of each row. The first step that removes a row decides it."""
        found = dict.fromkeys(OUTCOME_COLUMNS, pa.nulls(len(ids), pa.string()))
        waits = False
        for step in self._deciding_steps:
            counts = self._counts(step.name).get(number)
            if counts is None:
                waits = True
                continue
            for removed in self._removed(step, number, counts):
                places = pc.index_in(ids, value_set=removed["id"])
                is_new = pc.and_(pc.is_valid(places), pc.is_null(found["outcome"]))
                for name in OUTCOME_COLUMNS:
                    found[name] = pc.if_else(is_new, removed[name].take(places), found[name])
        found["outcome"] = pc.fill_null(found["outcome"], PENDING if waits else KEPT)
        return found

    @cached_property
    def _deciding_steps(self) -> list[StepHistory]:
        return [step for step in self.history.steps_on(self.base.name) if step.kind != "model"]

    def _removed(self, step: StepHistory, number: int, counts: RowCounts) -> Iterable[pa.Table]:
        """The rows that a part of a step dropped, and those that it rejected, with their outcome columns."""
        if step.kind == "drops" and counts.rows_out:
            dropped = self._read(step, number, ["rule", "value"])
            yield _outcome_table(dropped["id"], DROPPED, step.name, dropped["rule"], dropped["value"])
        if counts.rejects:
            rejected = read_part(self.history.store, f"{step.folder}/{counts.rejects}").combine_chunks()
            kinds = pc.if_else(pc.equal(rejected["kind"], "reject"), REJECTED, ERROR)
            yield _outcome_table(rejected["id"], kinds, step.name, rejected["reason"], rejected["detail"])

    def _clip_counts(self, ids: pa.ChunkedArray, number: int) -> dict[str, pa.Array]:
        """The number of clips of each row, in total and by outcome."""
        clips = self._clips
        part = clips.read(number, {name: clips.columns[name] for name in ("parent", "outcome")})
        found = {}
        for name in COUNT_COLUMNS:
            outcome = name.removeprefix("clips").removeprefix("_")
            rows = part.filter(pc.equal(part["outcome"], outcome)) if outcome else part
            counts = rows.group_by("parent").aggregate([([], "count_all")])
            places = pc.index_in(ids, value_set=counts["parent"])
            found[name] = pc.fill_null(counts["count_all"].take(places), 0)
        return found

    @cached_property
    def _clips(self) -> "RowReader":
        return RowReader(self.history, CLIPS)


def _by_step(chosen: Mapping[str, RowColumn]) -> dict[str, dict[str, RowColumn]]:
    found: dict[str, dict[str, RowColumn]] = {}
    for name, column in chosen.items():
        if column.step is not None:
            found.setdefault(column.step.name, {})[name] = column
    return found


def _outcome_table(
    ids: pa.ChunkedArray, outcome: object, step: str, reasons: pa.ChunkedArray, details: pa.ChunkedArray
) -> pa.Table:
    same = pa.array([step] * len(ids), pa.string())
    outcomes = pa.array([outcome] * len(ids), pa.string()) if isinstance(outcome, str) else outcome
    columns = dict(zip(OUTCOME_COLUMNS, (outcomes, same, reasons, details), strict=True))
    return pa.table({"id": ids, **columns})


def _plain(values: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """A column with its type in the result: the path of an artifact."""
    if pa.types.is_struct(values.type):
        values = pc.struct_field(values, "path")
    return values if values.type.equals(field.type) else values.cast(field.type)
