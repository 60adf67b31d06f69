"""A table: a folder of Parquet parts, each committed once, each saying in its footer what went in and out.

FOLDER/part-000000.parquet      the rows; footer metadata "clipmill" holds the part's `RowCounts`
FOLDER/rejects/…                the rows set aside while the part was made, named by their content
FOLDER/table.json               written when the table is begun: columns, keys, what makes it
FOLDER/manifest.json            the same with all parts, written when every part is there
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import Damaged
from manifests.store import Store

_FOOTER = b"clipmill"


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """What became of the rows that entered a part: rows_in = passed + dropped + rejected.

    Attributes:
        rows_in: rows that entered.
        passed: rows that left as kept; for a stage that expands, the parents it expanded.
        dropped: rows that a rule took out.
        rejected: rows that a stage set aside.
        errors: those of the rejected that no stage refused: it failed on them, or died.
        rows_out: rows this part adds to the table: kept rows, children, or dropped rows of a rule.
        rejects: name of the file of rejects within the folder, or "".
        groups: rows per group, in the assigned parts of a survey.
    """

    rows_in: int = 0
    passed: int = 0
    dropped: int = 0
    rejected: int = 0
    errors: int = 0
    rows_out: int = 0
    rejects: str = ""
    groups: dict[str, int] | None = None

    def balance(self) -> bool:
        return self.rows_in == self.passed + self.dropped + self.rejected


def part_name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def part_number(name: str) -> int | None:
    """The number in a part's file name, or None for any other file."""
    if name.startswith("part-") and name.endswith(".parquet") and name[5:-8].isdigit():
        return int(name[5:-8])
    return None


def parts_of(store: Store, folder: str) -> list[int]:
    """The numbers of the parts that stand in a folder, in order."""
    found = (part_number(name) for name in store.names(folder))
    return sorted(number for number in found if number is not None)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as Parquet: zstd, one row group per million rows; equal tables give equal bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 20, store_schema=True)
    return sink.getvalue()


def write_part(
    store: Store, name: str, table: pa.Table, row_counts: RowCounts, *, lasting: bool = True
) -> bool:
    """Commit a part if nothing stands there; say whether this call wrote it.

    One that is cheap to make again, with the same bytes, need not be `lasting` before its table is closed.
    """
    note = json.dumps(asdict(row_counts), sort_keys=True).encode()
    marked = table.replace_schema_metadata({**(table.schema.metadata or {}), _FOOTER: note})
    return store.create(name, parquet_bytes(marked), lasting=lasting)


def write_rejects(store: Store, folder: str, number: int, rejects: pa.Table) -> str:
    """Store the rejects of a part under a name made of their content; "" if there are none."""
    if not rejects.num_rows:
        return ""
    data = parquet_bytes(rejects)
    name = f"rejects/part-{number:06d}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
    store.create(f"{folder}/{name}", data)
    return name


def read_part(store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a part, or some of its columns.

    Raises:
        Damaged: the file is not readable Parquet.
    """
    with store.local(name) as path:
        try:
            # Parts are small files at hand: neither threads nor reading ahead pay for themselves.
            file = pq.ParquetFile(path, pre_buffer=False)
            return file.read(None if columns is None else list(columns), use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(store, name, error) from error


def count_rows(store: Store, name: str) -> tuple[int, RowCounts]:
    """How many rows stand in a part or in a file of rejects, and the part's row_counts, without reading rows.

    Raises:
        Damaged: the file is not readable Parquet.
    """
    with store.local(name) as path:
        try:
            found = pq.read_metadata(path)
            note = (found.metadata or {}).get(_FOOTER)
            return int(found.num_rows), RowCounts(**json.loads(note)) if note else RowCounts()
        except (pa.ArrowInvalid, OSError, TypeError, ValueError) as error:
            raise _damaged(store, name, error) from error


def read_row_counts(store: Store, name: str) -> RowCounts:
    """What a part's footer says, without reading its rows."""
    with store.local(name) as path:
        try:
            note = (pq.read_schema(path).metadata or {})[_FOOTER]
            return RowCounts(**json.loads(note))
        except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
            raise _damaged(store, name, error) from error


def _damaged(store: Store, name: str, error: Exception) -> Damaged:
    return Damaged(
        f"a part cannot be read: {type(error).__name__}: {error}",
        where=f"{store.url}/{name}",
        remedy="take the file away and run again; what is not damaged is kept",
    )
