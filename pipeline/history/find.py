"""Finding a row of a store by its id, the beginning of its id, or the name of the file it comes from."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import part_name, parts_of, read_part
from pipeline.errors import PipelineError
from pipeline.history.run_history import Past, PastStep

_SHORTEST = 4  # digits of an id that are looked for
_SHOWN = 8


@dataclass(frozen=True)
class Found:
    """Where a row is: the step that made it, its home part and its id."""

    base: str
    part: int
    id: str


def find(past: Past, what: str, base: str = "") -> Found:
    """The one row that `what` names, in the table `base` or in any.

    Raises:
        PipelineError: there is none, or more than one.
    """
    found = list(_by_id(past, what, base)) if len(what) >= _SHORTEST else []
    whole = [row for row in found if row.id == what]
    found = whole or found or list(_by_name(past, "/" + what.lstrip("/"), base))
    if not found and len(what) >= _SHORTEST:
        found = list(_by_name(past, what, base))
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(f"{row.id} ({row.base})" for row in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise PipelineError(
            f"{what!r} is not one row but {len(found)}",
            where=f"{shown}{more}",
            remedy="give more of the id, or more of the path",
        )
    made = base or ", ".join(step.name for step in past if step.base == step.name)
    raise PipelineError(
        f"no row is named {what!r}",
        where=f"the rows made by {made} in {past.store.url}",
        remedy="give an id, its first digits, or the end of a file's path; the report shows ids",
    )


def row_of(past: Past, step: PastStep, found: Found) -> dict[str, object] | None:
    """What a step's table says of a row; None if the row is not in it, or its part does not stand yet."""
    name = f"{step.folder}/{part_name(found.part)}"
    if not past.store.exists(name):
        return None
    part = read_part(past.store, name)
    hits = part.filter(pc.equal(part.column("id"), found.id)).to_pylist()
    return hits[0] if hits else None


def _by_id(past: Past, what: str, only: str) -> Iterator[Found]:
    for base, number, name in _parts(past, only):
        ids = read_part(past.store, name, ["id"]).column("id")
        for row in ids.filter(pc.starts_with(ids, what)).to_pylist():
            yield Found(base.name, number, row)


def _by_name(past: Past, what: str, only: str) -> Iterator[Found]:
    """Rows of sources with a text column that ends with `what`; a name without a folder is at its root."""
    for base, number, name in _parts(past, only):
        texts = [c["name"] for c in base.columns if c["type"] == "string" and c["name"] != "id"]
        if base.kind != "source" or not texts:
            continue
        part = read_part(past.store, name, ["id", *texts])
        hit = pa.array([False] * part.num_rows)
        for text in texts:
            column = part.column(text).combine_chunks()
            rooted = pc.binary_join_element_wise("/", column, "")
            hit = pc.or_(hit, pc.fill_null(pc.ends_with(rooted, what), False))
        for row in part.column("id").filter(hit).to_pylist():
            yield Found(base.name, number, row)


def _parts(past: Past, only: str) -> Iterator[tuple[PastStep, int, str]]:
    """Every part of every table of rows."""
    for step in past:
        if step.base == step.name and only in ("", step.name):
            for number in parts_of(past.store, step.folder):
                yield step, number, f"{step.folder}/{part_name(number)}"
