"""A table: a folder of Parquet parts; each part is committed once, with its row counts in its footer.

FOLDER/part-000000.parquet      the rows; the footer metadata "clipmill" holds the part's `RowCounts`
FOLDER/rejects/…                the rows that were rejected while a part was made; the name contains a digest
FOLDER/table.json               columns, keys and origin; written before the first part
FOLDER/manifest.json            the same with all parts; written after the last part
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import Damaged
from manifests.store import Store

_FOOTER = b"clipmill"
_MAX_NAME = 255  # bytes of a name that a file states


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """The outcomes of the rows that entered a part: rows_in = passed + dropped + rejected.

    Attributes:
        rows_in: Rows that entered the step.
        passed: Rows that the step kept; for a stage that expands, the parents that it expanded.
        dropped: Rows that a rule dropped.
        rejected: Rows that were rejected, including `errors`.
        errors: Rejected rows on which the stage failed or its process died, instead of refusing them.
        rows_out: Rows of this part: kept rows, children, or the dropped rows of a rule.
        rejects: Name of the file of rejects within the folder, or "".
        groups: Rows per group, in the assigned parts of a survey.
    """

    rows_in: int = 0
    passed: int = 0
    dropped: int = 0
    rejected: int = 0
    errors: int = 0
    rows_out: int = 0
    rejects: str = ""
    groups: dict[str, int] | None = None

    @property
    def succeeded(self) -> int:
        """Rows that a stage or a rule decided."""
        return self.passed + self.dropped

    def __add__(self, other: "RowCounts") -> "RowCounts":
        names = ("rows_in", "passed", "dropped", "rejected", "errors", "rows_out")
        return RowCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def is_balanced(self) -> bool:
        """Whether every row that entered has one outcome."""
        return self.rows_in == self.passed + self.dropped + self.rejected


def row_counts_of(plain: Any) -> RowCounts:
    """The row counts that a footer or a manifest holds.

    Raises:
        TypeError, ValueError: they are not row counts.
    """
    counts = RowCounts(**plain)
    groups = {} if counts.groups is None else counts.groups
    if not isinstance(groups, dict):
        raise TypeError("the groups are not an object")
    numbers = [value for name, value in vars(counts).items() if name not in ("rejects", "groups")]
    if not all(type(number) is int for number in (*numbers, *groups.values())):
        raise ValueError("a row count is not a whole number")
    check_names(counts.rejects)
    return counts


def check_names(*names: Any) -> None:
    """Check names that a file states before they become parts of paths; a store refuses `..` itself.

    Raises:
        ValueError: one is no text, or no file can have it.
    """
    for name in names:
        if not isinstance(name, str) or "\0" in name or len(name.encode()) > _MAX_NAME:
            raise ValueError(f"{str(name)[:40]!r} cannot be the name of a file")


def part_name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def part_number(name: str) -> int | None:
    """The part number in a file name, or None if the file is not a part."""
    if name.startswith("part-") and name.endswith(".parquet") and name[5:-8].isdigit():
        return int(name[5:-8])
    return None


def parts_of(store: Store, folder: str) -> list[int]:
    """The numbers of the parts that exist in a folder, in order."""
    numbers = (part_number(name) for name in store.names(folder))
    return sorted(number for number in numbers if number is not None)


def parquet_bytes(table: pa.Table) -> bytes:
    """Encode a table as Parquet: zstd, one row group per 2**20 rows. Equal tables give equal bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 20, store_schema=True)
    return sink.getvalue()


def write_part(
    store: Store, name: str, table: pa.Table, row_counts: RowCounts, *, durable: bool = True
) -> bool:
    """Commit a part if it does not exist yet. Returns whether this call wrote it.

    A part that can be made again cheaply with the same bytes need not be `durable` before its table is
    complete.
    """
    footer = json.dumps(asdict(row_counts), sort_keys=True).encode()
    with_footer = table.replace_schema_metadata({**(table.schema.metadata or {}), _FOOTER: footer})
    return store.create(name, parquet_bytes(with_footer), durable=durable)


def write_rejects(store: Store, folder: str, number: int, rejects: pa.Table) -> str:
    """Store the rejects of a part and return the file's name within the folder; "" if there are none."""
    if not rejects.num_rows:
        return ""
    data = parquet_bytes(rejects)
    name = f"rejects/part-{number:06d}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
    store.create(f"{folder}/{name}", data)
    return name


def read_part(store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of a part, or some of its columns.

    Raises:
        Damaged: the file is not readable Parquet.
    """
    with store.local(name) as path:
        try:
            # Parts are small local files: neither threads nor prefetching would be faster.
            file = pq.ParquetFile(path, pre_buffer=False)
            return file.read(None if columns is None else list(columns), use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(store, name, error) from error


def count_rows(store: Store, name: str) -> tuple[int, RowCounts]:
    """Count the rows of a part or of a file of rejects, and read the part's row counts, without reading rows.

    Raises:
        Damaged: the file is not readable Parquet.
    """
    with store.local(name) as path:
        return counts_in(store, name, path)


def counts_in(store: Store, name: str, file: bytes | Path) -> tuple[int, RowCounts]:
    """As `count_rows`, in the bytes of the file `name` or in a copy of it."""
    try:
        metadata = pq.read_metadata(pa.BufferReader(file) if isinstance(file, bytes) else file)
        footer = (metadata.metadata or {}).get(_FOOTER)
        return int(metadata.num_rows), row_counts_of(json.loads(footer)) if footer else RowCounts()
    except (pa.ArrowException, OSError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(store, name, error) from error


def read_row_counts(store: Store, name: str) -> RowCounts:
    """Read the row counts in a part's footer, without reading its rows.

    Raises:
        Damaged: the file is not readable Parquet, or has no row counts.
    """
    with store.local(name) as path:
        try:
            footer = (pq.read_schema(path).metadata or {})[_FOOTER]
            return row_counts_of(json.loads(footer))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise _damaged(store, name, error) from error


def _damaged(store: Store, name: str, error: Exception) -> Damaged:
    return Damaged(
        f"a part cannot be read: {type(error).__name__}: {error}",
        where=f"{store.url}/{name}",
        remedy="delete the file and run again; undamaged files are kept",
    )
