"""Putting what a stage gave into the store: its artifacts as files, its rows as records."""

import traceback
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from manifests.artifact import Artifact
from manifests.rows.reject import RejectRow
from manifests.schema import schema_of, table_of
from manifests.store import Store
from pipeline.engine.journal import Answer
from pipeline.stage import Reject


def stored(record: Mapping[str, Any], store: Store, folder: str) -> dict[str, Any]:
    """A record whose artifacts are in the store, under `folder`."""
    return {
        name: value.save(store, folder) if isinstance(value, Artifact) else value
        for name, value in record.items()
    }


def answer_of(error: Exception) -> Answer:
    """The answer for a row on which a stage raised `error`, or gave it."""
    if isinstance(error, Reject):
        return Answer(kind="reject", reason=one_line(str(error)) or "set aside without a reason")
    frames = traceback.extract_tb(error.__traceback__)[-1:]  # none, where it was given and never raised
    return Answer(
        kind="error",
        reason=one_line(f"{type(error).__name__}: {error}"),
        detail=one_line("".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)),
    )


def rejects_table(rejects: Mapping[str, Answer]) -> pa.Table:
    """Rows set aside, by id, as the table that is stored."""
    records = [
        {"id": row, "kind": a.kind, "reason": a.reason, "detail": a.detail} for row, a in rejects.items()
    ]
    return table_of(records, schema_of(RejectRow))


def one_line(text: str, limit: int = 500) -> str:
    """Text without line breaks and of bounded length, fit for a table; bytes of no UTF-8 name as \\udcff."""
    flat = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
