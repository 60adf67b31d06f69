"""Writes what a stage returned to the store: artifacts as files, and rows as records."""

import traceback
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from manifests.artifact import Artifact
from manifests.rows.reject import RejectRow
from manifests.schema import schema_of, table_of
from manifests.store import Store
from pipeline.engine.journal import RowResult
from pipeline.stage import Reject


def save_artifacts(
    record: Mapping[str, Any], store: Store, folder: str, *, durable: bool = True
) -> dict[str, Any]:
    """The record with its artifacts saved in the store, under `folder`."""
    return {
        name: value.save(store, folder, durable=durable) if isinstance(value, Artifact) else value
        for name, value in record.items()
    }


def result_from_error(error: Exception) -> RowResult:
    """The result for a row on which a stage raised `error`, or returned it."""
    if isinstance(error, Reject):
        return RowResult(kind="reject", reason=one_line(str(error)) or "rejected without a reason")
    frames = traceback.extract_tb(error.__traceback__)[-1:]  # empty if the error was returned, not raised
    return RowResult(
        kind="error",
        reason=one_line(f"{type(error).__name__}: {error}"),
        detail=one_line("".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)),
    )


def rejects_table(rejects: Mapping[str, RowResult]) -> pa.Table:
    """Rejected rows, by id, as the table that is stored."""
    records = [
        {"id": row, "kind": a.kind, "reason": a.reason, "detail": a.detail} for row, a in rejects.items()
    ]
    return table_of(records, schema_of(RejectRow))


def one_line(text: str, max_length: int = 500) -> str:
    """Text on one line, with at most `max_length` characters; bytes that are not UTF-8 become \\udcff."""
    flat = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return flat if len(flat) <= max_length else f"{flat[: max_length - 1]}…"
