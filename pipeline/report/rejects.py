"""Rejected rows, each with its reason and its source file."""

from manifests.table import read_part
from pipeline.history.find import RowLocation
from pipeline.history.formatting import printable
from pipeline.history.run_history import StepHistory
from pipeline.report.markup import Html, el, join, table
from pipeline.report.run_reader import RunReader

_MAX_ROWS = 40  # of each step


def rejects(reader: RunReader) -> Html:
    """The section of rejected rows; empty if there are none."""
    shown = [_of_step(reader, step) for step in reader.history]
    return el("section", el("h2", "Rejected rows"), *shown) if any(shown) else Html("")


def _of_step(reader: RunReader, step: StepHistory) -> Html:
    row_counts = {
        number: counts for number, counts in reader.history.row_counts(step.name).items() if counts.rejects
    }
    if not row_counts:
        return Html("")
    count = sum(counts.rejected for counts in row_counts.values())
    rows: list[tuple[object, ...]] = []
    for number, counts in row_counts.items():
        if len(rows) >= _MAX_ROWS:
            break
        for record in read_part(reader.history.store, f"{step.folder}/{counts.rejects}").to_pylist():
            row = RowLocation(reader.history.input_table(step), number, record["id"])
            source = reader.value("source", row) or reader.value("uri", row) or ""
            texts = map(printable, (record["reason"], record["detail"]))
            rows.append((el("code", row.id), printable(str(source)), record["kind"], *texts))
    more = f", the first {_MAX_ROWS} of them" if count > _MAX_ROWS else ""
    head = ("row", "source", "kind", "reason", "detail")
    return join(el("h3", f"{step.name}: {count:,}{more}"), table(head, rows[:_MAX_ROWS]))
