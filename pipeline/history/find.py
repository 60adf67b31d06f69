"""Search for a row of a store by its id, the first characters of its id, or the path of its source file."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import part_name, read_part
from pipeline.errors import PipelineError
from pipeline.history.run_history import RunHistory, StepHistory

_MIN_SUFFIX = 4  # characters of the end of a path that is not a whole name
_MAX_SHOWN = 8


@dataclass(frozen=True)
class RowLocation:
    """Where a row is.

    Attributes:
        base: Name of the step that made the row.
        part: Number of its part.
        id: Id of the row.
    """

    base: str
    part: int
    id: str


def find_row(history: RunHistory, query: str, base: str = "") -> RowLocation:
    """Find the one row that matches a query.

    Args:
        history: The steps of a run.
        query: An id, its first characters, or the end of the path of a file.
        base: Name of the step whose rows are searched; by default all steps.

    Raises:
        PipelineError: no row matches, or more than one.
    """
    matches = list(_find_by_id(history, query, base)) if query else []
    exact = [row for row in matches if row.id == query]
    matches = exact or [*matches, *_find_by_path(history, "/" + query.lstrip("/"), base)]
    if not matches and len(query) >= _MIN_SUFFIX:
        matches = list(_find_by_path(history, query, base))
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(f"{row.id} ({row.base})" for row in matches[:_MAX_SHOWN])
        more = f" and {len(matches) - _MAX_SHOWN} more" if len(matches) > _MAX_SHOWN else ""
        raise PipelineError(
            f"{query!r} matches {len(matches)} rows",
            where=f"{shown}{more}",
            remedy="give more characters of the id, or more of the path",
        )
    searched = base or ", ".join(step.name for step in history if step.base == step.name)
    raise PipelineError(
        f"no row matches {query!r}",
        where=f"the rows made by {searched} in {history.store.url}",
        remedy="give an id, its first characters, or the end of a file's path",
    )


def read_row(history: RunHistory, step: StepHistory, location: RowLocation) -> dict[str, object] | None:
    """Read a row of a step's table; None if the table does not contain it or its part does not exist."""
    name = f"{step.folder}/{part_name(location.part)}"
    if not history.store.exists(name):
        return None
    part = read_part(history.store, name)
    rows = part.filter(pc.equal(part.column("id"), location.id)).to_pylist()
    return rows[0] if rows else None


def _find_by_id(history: RunHistory, query: str, base: str) -> Iterator[RowLocation]:
    for step, number, name in _parts(history, base):
        part = _read(history, name, ["id"])
        if part is None:
            continue
        ids = part["id"]
        for row in ids.filter(pc.starts_with(ids, query)).to_pylist():
            yield RowLocation(step.name, number, row)


def _find_by_path(history: RunHistory, query: str, base: str) -> Iterator[RowLocation]:
    """Rows with a file whose text columns end with `query`; texts are compared with a leading slash."""
    for step, number, name in _parts(history, base):
        texts = [c["name"] for c in step.columns if c["type"] == "string" and c["name"] != "id"]
        if not texts or (step.kind != "source" and "uri" not in texts):
            continue
        part = _read(history, name, ["id", *texts])
        if part is None:
            continue
        matches = pa.array([False] * part.num_rows)
        for text in texts:
            column = part.column(text).combine_chunks()
            with_slash = pc.binary_join_element_wise("/", column, "")
            matches = pc.or_(matches, pc.fill_null(pc.ends_with(with_slash, query), False))
        for row in part.column("id").filter(matches).to_pylist():
            yield RowLocation(step.name, number, row)


def _parts(history: RunHistory, base: str) -> Iterator[tuple[StepHistory, int, str]]:
    """Every part of the steps that make rows: the step, the number and the name of the part."""
    for step in history:
        if step.base == step.name and base in ("", step.name):
            for number in sorted(history.row_counts(step.name)):
                yield step, number, f"{step.folder}/{part_name(number)}"


def _read(history: RunHistory, name: str, columns: list[str]) -> pa.Table | None:
    """Some columns of a part; None if its file was deleted."""
    try:
        return read_part(history.store, name, columns)
    except FileNotFoundError:
        return None
