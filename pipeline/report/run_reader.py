"""Reads values of a run for the report: a column of a row, or of the rows from which it was made."""

from functools import lru_cache
from typing import Any

import pyarrow as pa

from manifests.table import part_name, read_part
from pipeline.history.find import RowLocation
from pipeline.history.run_history import RunHistory, StepHistory

_MAX_PARTS = 24  # parts of a table that are read, evenly spaced


class RunReader:
    """Reads single columns of single parts, with a cache of the last 64."""

    def __init__(self, history: RunHistory) -> None:
        self.history = history
        self._column = lru_cache(maxsize=64)(self._read)
        # The counts of an unfinished table are in its parts, so they are read once.
        self.row_counts = lru_cache(maxsize=None)(history.row_counts)

    def author(self, column: str, base: str) -> StepHistory | None:
        """The step that adds a column to the rows of `base`, or to the rows from which they were made."""
        while base:
            for step in self.history:
                if step.base == base and step.kind != "drops" and column in {c["name"] for c in step.columns}:
                    return step
            base = self.history[base].parents
        return None

    def value(self, column: str, row: RowLocation) -> Any:
        """The value of a column of a row; None if no step adds the column or the value is missing."""
        author = self.author(column, row.base)
        if author is None:
            return None
        while row.base != author.base:
            parent = self._read_value(self.history[row.base], row, "parent")
            if parent is None:
                return None
            row = RowLocation(self.history[row.base].parents, row.part, parent)
        return self._read_value(author, row, column)

    def some_parts(self, step: StepHistory) -> list[int]:
        """The numbers of at most 24 evenly spaced parts of a step."""
        every = sorted(self.row_counts(step.name))
        return every[:: max(1, -(-len(every) // _MAX_PARTS))]

    def _read_value(self, step: StepHistory, row: RowLocation, column: str) -> Any:
        return self._column(f"{step.folder}/{part_name(row.part)}", column).get(row.id)

    def _read(self, name: str, column: str) -> dict[str, Any]:
        if not self.history.store.exists(name):
            return {}
        part: pa.Table = read_part(self.history.store, name, ["id", column])
        return dict(zip(part.column("id").to_pylist(), part.column(column).to_pylist(), strict=True))
