"""Per-frame signals of a video: a Parquet file of one row per frame, written as a stream, read by column."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from manifests import Artifact

ROWS = 8192  # frames of one row group: what the writer holds in memory


class SignalsWriter:
    """Writes `pts` (int64, ticks), `time_s` (since the first frame) and float32 columns to a Parquet file."""

    def __init__(self, file: Path, meanings: Mapping[str, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        meant = {"pts": "presentation time [ticks]", "time_s": "time since the first frame [s]", **meanings}
        kinds = {"pts": pa.int64(), "time_s": pa.float64()}
        self._schema = pa.schema(
            [pa.field(n, kinds.get(n, pa.float32()), False, {"meaning": m}) for n, m in meant.items()]
        )
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd", use_dictionary=False)
        self._rows: list[tuple[float, ...]] = []

    def append(self, pts: int, time_s: float, values: Iterable[float]) -> None:
        """Add one frame; `values` in the order of the meanings."""
        self._rows.append((pts, time_s, *values))
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [
            pa.array(np.asarray(values, dtype=field.type.to_pandas_dtype()), field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows.clear()

    def __enter__(self) -> "SignalsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._rows and kind is None:
            self._flush()
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
