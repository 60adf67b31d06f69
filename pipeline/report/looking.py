"""Looking values up for the report: by the name of a column, at a row or at the rows it was made from."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa

from manifests.table import part_name, parts_of, read_part
from pipeline.history.find import Found
from pipeline.history.run_history import Past, PastStep

_PARTS = 24  # parts of a table that are looked into, spread evenly


class Looker:
    """Reads single columns of single parts, and keeps the last few."""

    def __init__(self, past: Past) -> None:
        self.past = past
        self._column = lru_cache(maxsize=64)(self._read)

    def author(self, column: str, base: str) -> PastStep | None:
        """The step that adds a column to the rows of `base`, or to those they were made from."""
        while base:
            for step in self.past:
                if step.base == base and step.kind != "drops" and column in {c["name"] for c in step.columns}:
                    return step
            base = self.past[base].parents
        return None

    def value(self, column: str, row: Found) -> Any:
        """A column of a row; None where no step adds it, or the row has none."""
        author = self.author(column, row.base)
        if author is None:
            return None
        while row.base != author.base:
            parent = self._at(self.past[row.base], row, "parent")
            if parent is None:
                return None
            row = Found(self.past[row.base].parents, row.part, parent)
        return self._at(author, row, column)

    def some_parts(self, step: PastStep) -> list[int]:
        """The parts of a step to look into."""
        every = parts_of(self.past.store, step.folder)
        return every[:: max(1, -(-len(every) // _PARTS))]

    def kept(self, base: PastStep) -> Iterator[Found]:
        """Rows of a table that no step has taken out, from some of its parts in turn."""
        steps = self.past.works_on(base.name)
        row_counts = {step.name: self.past.row_counts(step.name) for step in steps}
        for number in self.some_parts(base):
            if any(number not in row_counts[s.name] for s in steps if s.kind != "model"):
                continue
            gone: set[str] = set()
            for step in steps:
                if number in row_counts[step.name]:
                    dropped, rejected = self.past.gone(step.name, number, row_counts[step.name][number])
                    gone.update(dropped, rejected)
            name = f"{base.folder}/{part_name(number)}"
            for row in read_part(self.past.store, name, ["id"]).column("id").to_pylist():
                if row not in gone:
                    yield Found(base.name, number, row)

    def _at(self, step: PastStep, row: Found, column: str) -> Any:
        return self._column(f"{step.folder}/{part_name(row.part)}", column).get(row.id)

    def _read(self, name: str, column: str) -> dict[str, Any]:
        if not self.past.store.exists(name):
            return {}
        part: pa.Table = read_part(self.past.store, name, ["id", column])
        return dict(zip(part.column("id").to_pylist(), part.column(column).to_pylist(), strict=True))
