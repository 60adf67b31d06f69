"""Per-frame signals of a video: a Parquet file of one row per frame, written as a stream, read by column.

Beside the numbers stands a thumb: the frame in some 32 x 18 cells of luma and a quarter as many of chroma.
It is stored as its difference to the thumb before, byte by byte and modulo 256, which zstd makes small.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests import Artifact

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 4096  # frames of one row group: what the writer holds in memory
THUMB = ("luma", "chroma")


class SignalsWriter:
    """Writes `pts` (int64, ticks), `time_s` (since the first frame) and float32 columns to a Parquet file."""

    def __init__(self, file: Path, meanings: Mapping[str, str]) -> None:
        import pyarrow as pa

        meant = {"pts": "presentation time [ticks]", "time_s": "time since the first frame [s]", **meanings}
        kinds = {"pts": pa.int64(), "time_s": pa.float64()}
        self._numbers = [
            pa.field(n, kinds.get(n, pa.float32()), False, {"meaning": m}) for n, m in meant.items()
        ]
        self._file, self._writer = file, None
        self._rows: list[tuple[float, ...]] = []
        self._thumbs: list[tuple[np.ndarray, np.ndarray]] = []

    def append(
        self,
        pts: int,
        time_s: float,
        values: Iterable[float],
        thumb: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Add one frame; `values` in the order of the meanings, the thumb's luma [h w] and chroma [h w 2].

        A video's thumbs are all of one size; either all its frames have one, or none.
        """
        self._add((pts, time_s, *values), thumb)

    def copy(self, file: Path) -> None:
        """Add the frames of a file of the same columns, as if they had been appended here one by one."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as opened:
            with_thumbs = set(THUMB) <= set(opened.schema_arrow.names)
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group)
                rows = zip(*(table.column(f.name).to_numpy().tolist() for f in self._numbers), strict=True)
                thumbs = zip(*(_cells(table, name) for name in THUMB), strict=True) if with_thumbs else None
                for row in rows:
                    self._add(row, next(thumbs) if thumbs else None)

    def _add(self, row: tuple[float, ...], thumb: tuple[np.ndarray, np.ndarray] | None) -> None:
        self._rows.append(row)
        if thumb is not None:
            self._thumbs.append(thumb)
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [
            pa.array(np.asarray(values, dtype=field.type.to_pandas_dtype()), field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._numbers, strict=True)
        ]
        fields = list(self._numbers)
        for name, cells in zip(THUMB, zip(*self._thumbs, strict=True), strict=False):
            rows = np.stack(cells).reshape(len(cells), -1)
            rows[1:] -= rows[:-1].copy()
            kind = pa.binary(rows.shape[1])
            columns.append(pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(rows)]))
            shape = " ".join(map(str, cells[0].shape))
            told = {"meaning": "cells of the thumb, less the row before, modulo 256 [0..255]", "shape": shape}
            fields.append(pa.field(name, kind, False, told))
        schema = pa.schema(fields)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", use_dictionary=False)
        self._writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        self._rows.clear()
        self._thumbs.clear()

    def __enter__(self) -> "SignalsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._rows and kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()


def read_signals(
    signals: Artifact, columns: Iterable[str], start: int = 0, end: int | None = None
) -> dict[str, Any]:
    """The named columns of frames start … end - 1, each a read-only array.

    The clips of one video read the same file one after the other, so the last few files are kept.

    Raises:
        KeyError: the scan had no meter for a column.
    """
    wanted = tuple(columns)
    whole = _read(_Known(signals), wanted)
    return {name: whole[name][start:end] for name in wanted}


class _Known:
    """An artifact, told from others by its digest alone."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.artifact.sha256 == self.artifact.sha256

    def __hash__(self) -> int:
        return hash(self.artifact.sha256)


@lru_cache(maxsize=4)
def _read(known: _Known, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    with known.artifact.local() as path, pq.ParquetFile(path) as file:
        missing = [c for c in columns if c not in file.schema_arrow.names]
        if missing:
            raise KeyError(
                f"the scan stored no {', '.join(missing)}: add the meter that measures it to ScanVideo"
            )
        table = file.read(list(columns))
    found = {name: table.column(name).to_numpy() for name in columns}
    for values in found.values():
        values.setflags(write=False)
    return found


def read_thumbs(signals: Artifact, start: int = 0, end: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The thumbs of frames start … end - 1: luma uint8 [n h w], about 32 cells on the longer side, and
    chroma (Cr, Cb) uint8 [n h2 w2 2], of half as many.

    Raises:
        KeyError: the scan stored no thumbs.
    """
    import pyarrow.parquet as pq

    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    with signals.local() as path, pq.ParquetFile(path) as file:
        if not set(THUMB) <= set(file.schema_arrow.names):
            raise KeyError("the scan stored no thumbs")
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            last = first + rows
            if first < (last if end is None else end) and last > start:
                table = file.read_row_group(group, list(THUMB))
                for name, parts in zip(THUMB, found, strict=True):
                    cells = _cells(table, name)
                    parts.append(cells[max(0, start - first) : None if end is None else end - first])
            first = last
    luma, chroma = (np.concatenate(parts) for parts in found)
    return luma, chroma


def _cells(group: "pa.Table", name: str) -> np.ndarray:
    """The cells of the thumbs of a row group, uint8 [n h w] or [n h w 2]."""
    shape = map(int, group.schema.field(name).metadata[b"shape"].split())
    steps = np.frombuffer(group.column(name).combine_chunks().buffers()[1], np.uint8)
    sums = np.add.accumulate(steps.reshape(group.num_rows, -1), axis=0, dtype=np.uint8)
    return sums.reshape(group.num_rows, *shape)
