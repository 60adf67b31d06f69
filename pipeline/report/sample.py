"""Reads a sample of the rows of a table, with their columns and outcomes, for the report.

A small table is read completely. Of a large one, evenly spaced rows of evenly spaced parts are read, so the
time and memory of a report do not grow with the run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import RowCounts, part_name, read_part
from pipeline.history.find import RowLocation
from pipeline.history.run_history import RunHistory, StepHistory
from pipeline.report.run_reader import RunReader

MAX_PARTS = 64  # of which rows are read
KEPT, DROPPED, REJECTED, FAILED, PENDING = "kept", "dropped", "rejected", "failed", "not finished"
_SCALARS = ("int", "uint", "double", "float", "half", "bool", "string", "large_string")
_HIDDEN = ("id", "parent")


@dataclass(frozen=True)
class Outcome:
    """What happened to a row: its kind, the step that decided (empty for kept rows), and the reason.

    For a dropped row, the reason is the value that the rule read.
    """

    kind: str
    step: str = ""
    reason: str = ""


@dataclass
class Sample:
    """Rows of one table.

    Attributes:
        base: The step that made the rows.
        total: Number of rows of the table.
        rows: Where each row is.
        values: The values of each column, aligned with `rows`; None where a row has no value.
        columns: Name, type, unit and meaning of each column, and the step that adds it.
        outcomes: The outcome of each row.
        parents: The id of the parent of each row; empty for a source.
    """

    base: StepHistory
    total: int
    rows: list[RowLocation] = field(default_factory=list)
    values: dict[str, list[Any]] = field(default_factory=dict)
    columns: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return len(self.rows) == self.total

    def value(self, name: str, row: int) -> Any:
        """A value of a row; None if the table has no such column."""
        column = self.values.get(name)
        return column[row] if column else None


def is_scalar(column: Mapping[str, Any]) -> bool:
    return column["name"] not in _HIDDEN and str(column["type"]).startswith(_SCALARS)


def sample_rows(
    reader: RunReader, base: StepHistory, max_rows: int, parts: list[int] | None = None
) -> Sample:
    """Read at most about `max_rows` rows of a table.

    Args:
        reader: Reads the run.
        base: The step that made the rows.
        max_rows: Maximum number of rows.
        parts: The parts to read; by default, enough evenly spaced parts.
    """
    counts = reader.row_counts(base.name)
    total = sum(count.rows_out for count in counts.values())
    sample = Sample(base, total)
    for step in _steps_with_columns(reader.history, base):
        sample.columns |= {c["name"]: {**c, "step": step.name} for c in step.columns if is_scalar(c)}
    numbers = sorted(counts) if total <= max_rows else _spread(sorted(counts), MAX_PARTS)
    numbers = numbers if parts is None else [number for number in parts if number in counts]
    read = sum(counts[number].rows_out for number in numbers)
    for number in numbers:
        _add_part(reader, sample, number, share=min(1.0, max_rows / max(1, read)))
    return sample


def part_numbers(sample: Sample) -> list[int]:
    """The numbers of the parts that a sample contains."""
    return sorted({row.part for row in sample.rows})


def _steps_with_columns(history: RunHistory, base: StepHistory) -> list[StepHistory]:
    own = [step for step in history.steps_on(base.name) if step.base == base.name and step.kind != "drops"]
    return [base, *own]


def _spread(items: list[Any], count: int) -> list[Any]:
    """At most `count` evenly spaced items."""
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]


def _add_part(reader: RunReader, sample: Sample, number: int, share: float) -> None:
    """Add the rows of one part, or an evenly spaced share of them."""
    base, history = sample.base, reader.history
    names = ["id", *(["parent"] if base.kind == "children" else [])]
    name = f"{base.folder}/{part_name(number)}"
    if not history.store.exists(name):
        return
    part = read_part(history.store, name, names)
    if share < 1 and part.num_rows:
        part = part.take(pa.array(_spread(list(range(part.num_rows)), max(1, int(share * part.num_rows)))))
    ids = part.column("id").combine_chunks()
    sample.rows += [RowLocation(base.name, number, row) for row in ids.to_pylist()]
    sample.parents += part.column("parent").to_pylist() if "parent" in names else []
    by_step: dict[str, list[str]] = {}
    for column in sample.columns.values():
        by_step.setdefault(column["step"], []).append(column["name"])
    for step, columns in by_step.items():
        read = _aligned(reader, history[step], number, ids, columns)
        for name in columns:
            sample.values.setdefault(name, []).extend(read[name])
    sample.outcomes += _outcomes(reader, base, number, ids.to_pylist())


def _aligned(
    reader: RunReader, step: StepHistory, number: int, ids: pa.Array, columns: list[str]
) -> dict[str, list[Any]]:
    """Columns of a step for some rows of a part, in their order."""
    name = f"{step.folder}/{part_name(number)}"
    counts = reader.row_counts(step.name).get(number)
    if counts is None or not counts.rows_out:
        return {column: [None] * len(ids) for column in columns}
    part = read_part(reader.history.store, name, ["id", *columns])
    at = pc.index_in(ids, value_set=part.column("id").combine_chunks())
    return {column: part.column(column).combine_chunks().take(at).to_pylist() for column in columns}


def _outcomes(reader: RunReader, base: StepHistory, number: int, ids: list[str]) -> list[Outcome]:
    """The outcome of each row: the first step that removed it, else whether every step has processed it."""
    removed: dict[str, Outcome] = {}
    pending = ""
    for step in reader.history.steps_on(base.name):
        counts = reader.row_counts(step.name).get(number)
        if counts is None:
            pending = pending or (step.name if step.kind != "model" else "")
            continue
        for row, outcome in _removed(reader.history, step, number, counts):
            removed.setdefault(row, outcome)
    rest = Outcome(PENDING, pending) if pending else Outcome(KEPT)
    return [removed.get(row, rest) for row in ids]


def _removed(
    history: RunHistory, step: StepHistory, number: int, counts: RowCounts
) -> Iterator[tuple[str, Outcome]]:
    """The rows of a part that a step dropped, rejected or failed on."""
    if counts.dropped:
        part = read_part(history.store, f"{step.folder}/{part_name(number)}", ["id", "value"])
        for record in part.to_pylist():
            yield record["id"], Outcome(DROPPED, step.name, record["value"])
    if counts.rejects:
        for record in read_part(history.store, f"{step.folder}/{counts.rejects}").to_pylist():
            kind = REJECTED if record["kind"] == "reject" else FAILED
            detail = f" ({record['detail']})" if record["detail"] else ""
            yield record["id"], Outcome(kind, step.name, f"{record['reason']}{detail}")
