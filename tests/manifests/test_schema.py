"""Rows to tables, to Parquet, and back: nothing is lost, bent or invented on the way."""

import io
import math
import struct
from array import array
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import Artifact, Row, Vector, column
from manifests.errors import SchemaMismatch
from manifests.schema import record_of, rows_of, schema_of, table_of
from manifests.table import parquet_bytes


class Wide(Row):
    id: str = column("id")
    text: str | None = column("text")
    count: int | None = column("count")
    measure: float | None = column("measure", unit="s")
    flag: bool | None = column("flag")
    raw: bytes | None = column("raw")
    words: tuple[str, ...] | None = column("words")
    steps: tuple[int, ...] = column("steps")
    levels: tuple[float, ...] = column("levels", unit="1")
    flags: tuple[bool, ...] = column("flags")
    embedding: Vector | None = column("embedding", unit="1")
    clip: Artifact | None = column("clip")


whole = st.integers(-(2**63), 2**63 - 1)
text = st.text()
digest = st.text("0123456789abcdef", min_size=64, max_size=64)
WIDE = st.builds(
    Wide,
    id=text,
    text=st.none() | text,
    count=st.none() | whole,
    measure=st.none() | st.floats(),
    flag=st.none() | st.booleans(),
    raw=st.none() | st.binary(),
    words=st.none() | st.lists(text, max_size=4).map(tuple),
    steps=st.lists(whole, max_size=4).map(tuple),
    levels=st.lists(st.floats(), max_size=4).map(tuple),
    flags=st.lists(st.booleans(), max_size=4).map(tuple),
    embedding=st.none() | st.lists(st.floats(width=32), max_size=8).map(lambda v: array("f", v)),
    clip=st.none() | st.builds(Artifact, path=text, size_bytes=st.integers(0, 2**62), sha256=digest),
)


def exactly(value: Any) -> Any:
    """A value that is equal only to the very same one: NaN to NaN, 0.0 not to -0.0, 1 not to True."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("d", value)
    if isinstance(value, tuple | array):
        return type(value).__name__, [exactly(v) for v in value]
    return type(value).__name__, value


@settings(max_examples=150, deadline=None)
@given(st.lists(WIDE, max_size=6))
def test_rows_survive_a_round_trip_through_parquet(rows: list[Wide]) -> None:
    table = table_of([record_of(row) for row in rows], schema_of(Wide))
    data = parquet_bytes(table)
    again = pq.read_table(io.BytesIO(data))
    assert again.schema.equals(schema_of(Wide), check_metadata=True)
    found = rows_of(again, Wide)
    assert [[exactly(v) for v in record_of(r).values()] for r in found] == [
        [exactly(v) for v in record_of(r).values()] for r in rows
    ]
    assert parquet_bytes(again) == data


@settings(max_examples=40, deadline=None)
@given(st.lists(WIDE, min_size=2, max_size=12), st.data())
def test_equal_tables_give_equal_bytes_for_any_chunks(rows: list[Wide], data: st.DataObject) -> None:
    table = table_of([record_of(row) for row in rows], schema_of(Wide))
    cut = data.draw(st.integers(1, len(rows) - 1))
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert parquet_bytes(pieces) == parquet_bytes(table)


def test_units_and_meanings_travel_with_the_schema() -> None:
    field = pq.read_schema(io.BytesIO(parquet_bytes(schema_of(Wide).empty_table()))).field("measure")
    assert field.metadata == {b"meaning": b"measure", b"unit": b"s"}
    assert field.nullable
    assert not schema_of(Wide).field("steps").nullable


def one(kind: Any, value: Any) -> pa.Table:
    row_type = type("One", (Row,), {"__annotations__": {"x": kind}})
    return table_of([{"x": value}], schema_of(row_type))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 1.5), (int, 2.0), (int, True), (int, "1"), (int, 2**63), (int, math.nan), (int, b"1"),
        (float, True), (float, "1.0"), (bool, 1), (bool, "yes"), (str, b"x"), (str, 1), (str, "\udcff"),
        (bytes, "x"), (tuple[int, ...], (1, 2.5)), (tuple[int, ...], (1, None)), (tuple[str, ...], "ab"),
        (tuple[float, ...], (True,)), (Vector, b"ab"), (Vector, "ab"), (Vector, [1.0, None]), (Vector, 1.0),
        (Artifact, "a/path"), (int, None), (Vector, None), (Artifact, None), (int | None, 0.5),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(SchemaMismatch, match="column 'x'"):
        one(kind, value)


def test_numpy_scalars_are_accepted() -> None:
    np = pytest.importorskip("numpy")
    fits = [
        (int, np.int32(7)), (float, np.float32(0.5)), (float, np.float64(0.5)), (float, 3),
        (bool, np.bool_(True)), (str, np.str_("x")), (tuple[int, ...], np.array([1, 2])),
        (Vector, np.array([1, 2], "f4")),
        (tuple[float, ...], (1, np.float32(2))),
    ]  # fmt: skip
    for kind, value in fits:
        assert one(kind, value).num_rows == 1
    for kind, value in [(int, np.float32(1)), (float, np.bool_(True)), (bool, np.int8(1))]:
        with pytest.raises(SchemaMismatch):
            one(kind, value)


def test_a_vector_is_float32_and_numpy_does_not_copy_it() -> None:
    np = pytest.importorskip("numpy")
    row_type = type("One", (Row,), {"__annotations__": {"x": Vector}})
    table = table_of([{"x": array("f", [0.1, -0.0])}, {"x": array("f")}], schema_of(row_type))
    first, empty = [row.x for row in rows_of(table, row_type)]
    assert isinstance(empty, array)
    assert len(empty) == 0
    seen = np.asarray(first)
    assert seen.dtype == np.float32
    assert seen.tobytes() == array("f", [0.1, -0.0]).tobytes()


def test_a_slice_of_a_table_gives_the_vectors_of_its_rows() -> None:
    row_type = type("One", (Row,), {"__annotations__": {"x": Vector | None}})
    table = table_of([{"x": array("f", [n] * n)} for n in range(5)] + [{"x": None}], schema_of(row_type))
    rows = rows_of(table.slice(3), row_type)
    assert [row.x and list(row.x) for row in rows] == [[3.0] * 3, [4.0] * 4, None]


@pytest.mark.parametrize(
    "kind",
    [
        dict, list[int], object, complex, tuple, tuple[int, str], tuple[int], tuple[tuple[int, ...], ...],
        tuple[Vector, ...], tuple[Artifact, ...], tuple[int | None, ...], int | str, int | str | None,
        set[int],
    ],
)  # fmt: skip
def test_types_that_parquet_cannot_store_are_refused(kind: Any) -> None:
    row_type = type("One", (Row,), {"__annotations__": {"x": kind}})
    with pytest.raises(SchemaMismatch, match="Parquet cannot store"):
        schema_of(row_type)


def test_a_missing_column_is_named() -> None:
    row_type = type("Reads", (Row,), {"__annotations__": {"id": str, "lost": int}})
    with pytest.raises(SchemaMismatch, match="Reads reads lost, but the table has no such column"):
        rows_of(pa.table({"id": ["a"]}), row_type)


def test_a_row_without_columns_is_read_once_per_row() -> None:
    row_type = type("Nothing", (Row,), {"__annotations__": {}})
    assert len(rows_of(pa.table({"id": ["a", "b"]}), row_type)) == 2
