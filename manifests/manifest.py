"""The manifest of a table: its columns, its parts with their digests, and where all of it came from.

`table.json` is written when a table is begun; `manifest.json` once, when every part is there, and is
itself the sign of that. Equal tables have equal manifests: no dates, hosts or paths are in it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import Damaged, NewerFormat
from manifests.store import Store
from manifests.table import RowCounts, part_name, read_row_counts

FORMAT = 1
_NAME = "manifest.json"
_BEGUN = "table.json"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part: its number, file digest, size in bytes, and row_counts."""

    number: int
    sha256: str
    size_bytes: int
    row_counts: RowCounts


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A whole table.

    Attributes:
        node: the step of the DAG that made it.
        kind: source, layer, children, drops, survey or model.
        base: the folder whose rows these columns belong to ("" where the table is its own base).
        keys: "run", all that decided which rows are here; "content", all that decided their columns.
        made_by: stage class, version, settings and weights digest; or the rule and its reason.
        root: the folder whose parts these parts follow.
        inputs: folders of the steps that a row came through before this one.
        columns: name, type, unit, meaning, nullable of each column.
    """

    node: str
    kind: str
    base: str
    root: str
    keys: Mapping[str, str]
    made_by: Mapping[str, Any]
    inputs: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    parts: tuple[Part, ...] = ()
    format: int = FORMAT
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_counts(self) -> RowCounts:
        """The sums over all parts."""
        names = ("rows_in", "passed", "dropped", "rejected", "errors", "rows_out")
        return RowCounts(**{n: sum(getattr(p.row_counts, n) for p in self.parts) for n in names})

    def write(self, store: Store, folder: str) -> bool:
        """Close a table: write `manifest.json`."""
        return store.create(f"{folder}/{_NAME}", self._text())

    def begin(self, store: Store, folder: str) -> bool:
        """Open a table: write `table.json`, the same without parts, before the first part."""
        return store.create(f"{folder}/{_BEGUN}", self._text())

    def _text(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False).encode()


def read_begun(store: Store, folder: str) -> Manifest | None:
    """What `table.json` says of a table, whole or not; None for a folder that is no table."""
    return _read(store, folder, _BEGUN)


def read_manifest(store: Store, folder: str) -> Manifest | None:
    """The manifest of a folder, or None while the table is not whole.

    Raises:
        Damaged: the file is there and is no manifest.
        NewerFormat: it was written by a newer clipmill.
    """
    return _read(store, folder, _NAME)


def _read(store: Store, folder: str, name: str) -> Manifest | None:
    try:
        text = store.read(f"{folder}/{name}")
    except FileNotFoundError:
        return None
    where = f"{store.url}/{folder}/{name}"
    try:
        found = json.loads(text)
        if found["format"] > FORMAT:
            raise newer(where, found["format"])
        parts = tuple(Part(**{**p, "row_counts": RowCounts(**p["row_counts"])}) for p in found.pop("parts"))
        return Manifest(**{**found, "parts": parts, **_tuples(found)})
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"not a manifest: {error}", where=where, remedy="take it away and run again") from error


def newer(where: str, seen: object) -> NewerFormat:
    return NewerFormat(
        f"this store has format {seen}, and this clipmill reads up to format {FORMAT}",
        where=where,
        remedy="install the clipmill that wrote it, or choose another store",
    )


def describe_part(store: Store, folder: str, number: int) -> Part:
    """Digest, size and row_counts of a part that stands."""
    name = f"{folder}/{part_name(number)}"
    data = store.read(name)
    return Part(
        number=number,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        row_counts=read_row_counts(store, name),
    )


def columns_of(schema: pa.Schema) -> tuple[Mapping[str, Any], ...]:
    """The columns of a schema as plain values."""
    return tuple(
        {
            "name": f.name,
            "type": str(f.type),
            "nullable": f.nullable,
            "unit": (f.metadata or {}).get(b"unit", b"").decode(),
            "meaning": (f.metadata or {}).get(b"meaning", b"").decode(),
        }
        for f in schema
    )


def schema_at(store: Store, name: str) -> pa.Schema:
    """The schema of a part."""
    with store.local(name) as path:
        return pq.read_schema(path)


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(found[name]) for name in ("inputs", "columns")}
