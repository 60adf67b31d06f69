"""The manifest of a table: its columns, its parts with their digests, and its origin.

`table.json`, the header, is written before the first part. `manifest.json` is written once, after the last
part; a table that has it is complete. Equal tables have equal manifests: they contain no dates, hosts or
paths.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from manifests.errors import Damaged
from manifests.format import FORMAT, check_format, stated_format
from manifests.store import Store
from manifests.table import RowCounts, check_names, counts_in, part_name, row_counts_of

MANIFEST_FILE = "manifest.json"
HEADER_FILE = "table.json"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a table: its number, file digest, file size in bytes, and row counts."""

    number: int
    sha256: str
    size_bytes: int
    row_counts: RowCounts


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of one table.

    Attributes:
        node: Name of the DAG step that wrote the table.
        kind: "source", "layer", "children", "drops", "survey" or "model".
        base: Folder of the table whose rows these columns belong to; "" if the table has its own rows.
        root: Folder of the table whose part numbers this table follows.
        keys: "run": digest of everything that decides which rows exist. "content": digest of everything that
            decides the values of their columns.
        made_by: Stage class, version, settings and weights digest; for a rule, its predicate and its reason.
        inputs: Folders of the tables of the previous steps.
        columns: Name, type, unit, meaning and nullable of each column.
        parts: The parts in order; empty in `table.json`.
        format: Version of the store format.
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
    format: float = FORMAT
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_counts(self) -> RowCounts:
        """The row counts summed over all parts."""
        return sum((part.row_counts for part in self.parts), RowCounts())

    def write(self, store: Store, folder: str) -> bool:
        """Complete a table: write `manifest.json`. Returns whether this call wrote the file."""
        return store.create(f"{folder}/{MANIFEST_FILE}", self._text())

    def write_header(self, store: Store, folder: str) -> bool:
        """Start a table: write `table.json`. Returns whether this call wrote the file."""
        return store.create(f"{folder}/{HEADER_FILE}", self._text())

    def _text(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False).encode()


def read_header(store: Store, folder: str) -> Manifest | None:
    """Read `table.json` of a complete or unfinished table; None if the folder is not a table.

    Raises:
        Damaged, OlderFormat, NewerFormat: as `read_manifest`.
    """
    return _read(store, folder, HEADER_FILE)


def read_manifest(store: Store, folder: str) -> Manifest | None:
    """Read `manifest.json` of a folder; None while the table is not complete.

    Raises:
        Damaged: the file exists and is not a manifest.
        OlderFormat, NewerFormat: another version of clipmill wrote it.
    """
    return _read(store, folder, MANIFEST_FILE)


def complete_manifest(store: Store, folder: str, existing: Collection[int]) -> Manifest | None:
    """Read `manifest.json` of a folder; None while the table is not complete, or if a part is missing.

    Args:
        store: The store of the table.
        folder: Folder of the table.
        existing: Numbers of the parts that exist, as `parts_of` returns them.
    """
    manifest = read_manifest(store, folder)
    return manifest if manifest and {part.number for part in manifest.parts} <= set(existing) else None


def _read(store: Store, folder: str, name: str) -> Manifest | None:
    try:
        text = store.read(f"{folder}/{name}")
    except FileNotFoundError:
        return None
    where = f"{store.url}/{folder}/{name}"
    try:
        found = json.loads(text)
        check_format(stated_format(found), store.url, where)
        parts = tuple(Part(**{**p, "row_counts": row_counts_of(p["row_counts"])}) for p in found.pop("parts"))
        _check_types(found, parts)
        return Manifest(**{**found, "parts": parts, **_tuples(found)})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = "delete the file and run the recipe again"
        raise Damaged(f"this file is not a manifest: {error}", where=where, remedy=remedy) from error


def describe_part(store: Store, folder: str, number: int) -> Part:
    """Read a committed part and return its digest, size and row counts."""
    return describe_and_count(store, folder, number)[0]


def describe_and_count(store: Store, folder: str, number: int) -> tuple[Part, int]:
    """As `describe_part`, with the number of rows that the file holds. The file is read once."""
    name = f"{folder}/{part_name(number)}"
    data = store.read(name)
    num_rows, row_counts = counts_in(store, name, data)
    digest = hashlib.sha256(data).hexdigest()
    return Part(number=number, sha256=digest, size_bytes=len(data), row_counts=row_counts), num_rows


def columns_of(schema: pa.Schema) -> tuple[Mapping[str, Any], ...]:
    """Describe the columns of a schema as JSON values."""
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


def _check_types(found: Mapping[str, Any], parts: Collection[Part]) -> None:
    """Check what becomes a part of a path or of a sum.

    Raises:
        ValueError: a value has another type than a manifest has.
    """
    inputs, columns, keys = found["inputs"], found["columns"], found["keys"]
    check_names(found["node"], found["kind"], found["base"], found["root"], *inputs)
    numbers = [number for part in parts for number in (part.number, part.size_bytes)]
    is_valid = all(type(number) is int and number >= 0 for number in numbers)
    is_valid &= all(isinstance(part.sha256, str) for part in parts)
    is_valid &= isinstance(inputs, list) and isinstance(found["made_by"], dict)
    is_valid &= isinstance(columns, list) and all(isinstance(c, dict) and "name" in c for c in columns)
    is_valid &= isinstance(keys, dict) and all(isinstance(keys.get(k), str) for k in ("run", "content"))
    if not is_valid:
        raise ValueError("a value has the wrong type")


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(found[name]) for name in ("inputs", "columns")}
