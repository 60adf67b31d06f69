"""Per-frame signals of a video: a Parquet file with one row per frame, written as a stream.

The file can also hold a thumbnail per frame: about 32 x 18 cells of luma and a quarter as many of chroma. A
thumbnail is stored as the difference from the previous one, byte by byte and modulo 256, which zstd
compresses well.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from manifests import Artifact

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_GROUP = 4096  # frames per row group, which the writer holds in memory
THUMBNAIL_COLUMNS = ("luma", "chroma")


class SignalsWriter:
    """Writes `pts` (int64 ticks), `time_s` (seconds since the first frame) and float32 columns."""

    def __init__(self, file: Path, meanings: Mapping[str, str]) -> None:
        import pyarrow as pa

        descriptions = {
            "pts": "presentation time [ticks]",
            "time_s": "time since the first frame [s]",
            **meanings,
        }
        types = {"pts": pa.int64(), "time_s": pa.float64()}
        self._numbers = [
            pa.field(n, types.get(n, pa.float32()), False, {"meaning": m}) for n, m in descriptions.items()
        ]
        self._file, self._writer = file, cast("pq.ParquetWriter | None", None)
        self._rows: list[tuple[float, ...]] = []
        self._thumbnails: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]] = []

    def append(
        self,
        pts: int,
        time_s: float,
        values: Iterable[float],
        thumbnail: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None,
    ) -> None:
        """Add one frame.

        Args:
            pts: Presentation time in ticks.
            time_s: Time since the first frame in seconds.
            values: Values of the float32 columns, in the order of the meanings.
            thumbnail: Luma [h w] and chroma [h w 2], uint8. All frames of a video have a thumbnail of the
                same size, or none has one.
        """
        self._add((pts, time_s, *values), thumbnail)

    def copy(self, file: Path) -> None:
        """Append all frames of a file with the same columns."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as source:
            has_thumbnails = set(THUMBNAIL_COLUMNS) <= set(source.schema_arrow.names)
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                rows = zip(*(table.column(f.name).to_numpy().tolist() for f in self._numbers), strict=True)
                thumbnails = (
                    zip(*(_cells(table, name) for name in THUMBNAIL_COLUMNS), strict=True)
                    if has_thumbnails
                    else None
                )
                for row in rows:
                    self._add(row, next(thumbnails) if thumbnails else None)

    def _add(
        self, row: tuple[float, ...], thumbnail: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None
    ) -> None:
        self._rows.append(row)
        if thumbnail is not None:
            self._thumbnails.append(thumbnail)
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [
            pa.array(np.asarray(values, dtype=field.type.to_pandas_dtype()), field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._numbers, strict=True)
        ]
        fields = list(self._numbers)
        for name, cells in zip(THUMBNAIL_COLUMNS, zip(*self._thumbnails, strict=True), strict=False):
            rows = np.stack(cells).reshape(len(cells), -1)
            rows[1:] -= rows[:-1].copy()
            kind = pa.binary(rows.shape[1])
            columns.append(pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(rows)]))
            shape = " ".join(map(str, cells[0].shape))
            metadata = {
                "meaning": "cells of the thumb, less the row before, modulo 256 [0..255]",
                "shape": shape,
            }
            fields.append(pa.field(name, kind, False, metadata))
        schema = pa.schema(fields)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", use_dictionary=False)
        self._writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        self._rows.clear()
        self._thumbnails.clear()

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
    """Return the columns of frames start … end - 1, each as a read-only array.

    The clips of one video read the same file one after another, so the last 4 results are cached.

    Raises:
        KeyError: The scan had no meter for a column.
    """
    names = tuple(columns)
    all_frames = _read(_ArtifactKey(signals), names)
    return {name: all_frames[name][start:end] for name in names}


class _ArtifactKey:
    """A hashable artifact, compared by its digest."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ArtifactKey) and other.artifact.sha256 == self.artifact.sha256

    def __hash__(self) -> int:
        return hash(self.artifact.sha256)


@lru_cache(maxsize=4)
def _read(key: _ArtifactKey, columns: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    import pyarrow.parquet as pq

    with key.artifact.local() as path, pq.ParquetFile(path) as file:
        missing = [c for c in columns if c not in file.schema_arrow.names]
        if missing:
            raise KeyError(
                f"the scan stored no {', '.join(missing)}: add the meter that measures it to ScanVideo"
            )
        table = file.read(list(columns))
    arrays = {name: table.column(name).to_numpy() for name in columns}
    for values in arrays.values():
        values.setflags(write=False)
    return arrays


def read_thumbnails(
    signals: Artifact, start: int = 0, end: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the thumbnails of frames start … end - 1.

    Returns:
        Luma, uint8 [n h w], with about 32 cells on the longer side; and chroma (Cr, Cb), uint8 [n h2 w2 2],
        with half as many cells per side.

    Raises:
        KeyError: The scan stored no thumbnails.
    """
    import pyarrow.parquet as pq

    cells_by_column: tuple[list[npt.NDArray[np.uint8]], list[npt.NDArray[np.uint8]]] = ([], [])
    with signals.local() as path, pq.ParquetFile(path) as file:
        if not set(THUMBNAIL_COLUMNS) <= set(file.schema_arrow.names):
            raise KeyError("the scan stored no thumbnails")
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            last = first + rows
            if first < (last if end is None else end) and last > start:
                table = file.read_row_group(group, list(THUMBNAIL_COLUMNS))
                for name, parts in zip(THUMBNAIL_COLUMNS, cells_by_column, strict=True):
                    cells = _cells(table, name)
                    parts.append(cells[max(0, start - first) : None if end is None else end - first])
            first = last
    luma, chroma = (np.concatenate(parts) for parts in cells_by_column)
    return luma, chroma


def _cells(group: "pa.Table", name: str) -> npt.NDArray[np.uint8]:
    """Return the thumbnail cells of a row group, uint8 [n h w] or [n h w 2]."""
    shape = map(int, group.schema.field(name).metadata[b"shape"].split())
    differences = np.frombuffer(group.column(name).combine_chunks().buffers()[1], np.uint8)
    cells: npt.NDArray[np.uint8] = np.add.accumulate(
        differences.reshape(group.num_rows, -1), axis=0, dtype=np.uint8
    )
    return cells.reshape(group.num_rows, *shape)
