"""Rejected rows and errors, each with its reason and its source file."""

from typing import Any

from manifests.table import read_part
from pipeline.history.find import RowLocation
from pipeline.history.formatting import printable
from pipeline.history.run_history import StepHistory
from pipeline.report.run_reader import RunReader

_MAX_ROWS = 200  # of each step


def rejects_data(reader: RunReader) -> list[dict[str, Any]]:
    """For each step that refused rows or failed on them: how many, and the first of them."""
    found = [_of_step(reader, step) for step in reader.history]
    return [each for each in found if each["count"]]


def _of_step(reader: RunReader, step: StepHistory) -> dict[str, Any]:
    row_counts = {number: counts for number, counts in reader.row_counts(step.name).items() if counts.rejects}
    rows: list[dict[str, str]] = []
    for number, counts in row_counts.items():
        if len(rows) >= _MAX_ROWS:
            break
        for record in read_part(reader.history.store, f"{step.folder}/{counts.rejects}").to_pylist():
            row = RowLocation(reader.history.input_table(step), number, record["id"])
            source = reader.value("source", row) or reader.value("uri", row) or ""
            kind = "rejected" if record["kind"] == "reject" else "error"
            texts = {"source": str(source), "reason": record["reason"], "detail": record["detail"] or ""}
            rows.append({"id": row.id, "kind": kind, **{n: printable(text) for n, text in texts.items()}})
    count = sum(counts.rejected for counts in row_counts.values())
    return {"step": step.name, "count": count, "rows": rows[:_MAX_ROWS]}
