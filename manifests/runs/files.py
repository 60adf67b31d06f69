"""Writes rows as CSV, Parquet or JSON lines, part by part, so that the rows need not fit into memory."""

import base64
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa

_ROW_GROUP = 1 << 16  # rows

Writer = Callable[[BinaryIO, pa.Schema, Iterable[pa.Table]], int]


def write_csv(sink: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write CSV in UTF-8 with a line of names, and return the number of rows. Lists are JSON texts."""
    from pyarrow import csv

    rows = 0
    sink.write((",".join(_quoted(name) for name in schema.names) + "\n").encode())
    for table in tables:
        texts = pa.table([_text_column(column) for column in table.columns], names=table.column_names)
        data = io.BytesIO()
        csv.write_csv(texts, data, csv.WriteOptions(include_header=False))
        sink.write(data.getbuffer())
        rows += table.num_rows
    return rows


def write_parquet(sink: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write Parquet with the meaning and the unit of each column, and return the number of rows."""
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for table in _in_groups(tables):
            writer.write_table(table, row_group_size=_ROW_GROUP)
            rows += table.num_rows
    return rows


def write_json(sink: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write a JSON object per row and line, and return the number of rows. NaN is null, bytes are base64."""
    rows = 0
    for table in tables:
        for row in table.to_pylist():
            sink.write(json.dumps({k: _json_value(v) for k, v in row.items()}, ensure_ascii=False).encode())
            sink.write(b"\n")
        rows += table.num_rows
    return rows


WRITERS: Mapping[str, Writer] = {"csv": write_csv, "parquet": write_parquet, "json": write_json}


def _in_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of at least `_ROW_GROUP` rows, except the last."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= _ROW_GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (pa.types.is_list(column.type) or pa.types.is_binary(column.type)):
        return column
    values = map(_json_value, column.to_pylist())
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _json_value(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [_json_value(item) for item in value]
    return value


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
