"""Conversion between rows and Arrow tables, and the Arrow schema of a row type with units and meanings."""

import types
from array import array
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar, Union, get_args, get_origin

import pyarrow as pa

from manifests.artifact import Artifact
from manifests.errors import SchemaMismatch
from manifests.row import Row
from manifests.store import Store

R = TypeVar("R", bound=Row)


def _list(kind: pa.DataType) -> pa.DataType:
    """A list type whose items have the name that Parquet returns, so that a copied table has equal bytes."""
    return pa.list_(pa.field("element", kind))


ARTIFACT = pa.struct(
    [pa.field("path", pa.string()), pa.field("size_bytes", pa.int64()), pa.field("sha256", pa.string())]
)
_ARROW: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    array: _list(pa.float32()),
    Artifact: ARTIFACT,
}


def schema_of(*rows: type[Row]) -> pa.Schema:
    """The Arrow schema of the columns of the row types, in order.

    Raises:
        SchemaMismatch: a column has a type that Parquet cannot store.
    """
    schema_fields = []
    for row in rows:
        for col in row.columns():
            kind, nullable = _unwrap_optional(row.types()[col.name])
            note = {k: str(v) for k, v in col.metadata.items() if k in ("meaning", "unit")}
            schema_fields.append(pa.field(col.name, _arrow_type(kind, col.name), nullable, note or None))
    return pa.schema(schema_fields)


def table_of(records: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of records, each a mapping from column name to value.

    Raises:
        SchemaMismatch: a value does not fit its column.
    """
    columns = []
    for field in schema:
        values = [record[field.name] for record in records]
        if field.type == ARTIFACT:
            values = [_to_arrow(value) for value in values]
        try:
            _check_types(values, field.type)
            column = pa.array(values, field.type)
        except (pa.ArrowInvalid, TypeError, OverflowError, UnicodeError) as error:
            raise SchemaMismatch(
                f"column {field.name!r} has type {field.type}, but a value has another type: {error}",
                remedy="make the stage return the type that its row declares",
            ) from error
        if pa.types.is_list(column.type) and column.flatten().null_count:
            raise SchemaMismatch(
                f"column {field.name!r} has a missing value inside a list",
                remedy="leave the item out, or make the whole list None",
            )
        if column.null_count and not field.nullable:
            raise SchemaMismatch(
                f"column {field.name!r} has {column.null_count} missing values",
                remedy=f"declare it `{field.name}: … | None`, or reject the row",
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _check_types(values: Iterable[Any], expected: pa.DataType) -> None:
    """Refuse values that Arrow would convert silently: 1.5 to 1, True to 1.0, bytes to text.

    Raises:
        TypeError: a value has another type; the message names the type.
    """
    kinds = set(map(type, values)) - {type(None)}
    if pa.types.is_list(expected):
        wrong = kinds & {str, bytes}
        if not wrong and expected != _list(pa.float32()):
            items = [item for value in values if value is not None for item in value]
            _check_types(items, expected.value_type)
    else:
        wrong = {kind for kind in kinds if not _fits(kind, expected)}
    if wrong:
        raise TypeError(", ".join(sorted(kind.__name__ for kind in wrong)))


def _fits(kind: type, expected: pa.DataType) -> bool:
    is_flag = kind.__name__ in ("bool", "bool_")  # bool_ is NumPy's, which is not a subclass of bool
    if pa.types.is_boolean(expected):
        return is_flag
    if pa.types.is_integer(expected):
        return issubclass(kind, Integral) and not is_flag
    if pa.types.is_floating(expected):
        return issubclass(kind, Real) and not is_flag
    return issubclass(kind, {pa.string(): str, pa.binary(): bytes}.get(expected, object))


def record_of(row: Row) -> dict[str, Any]:
    """A row as a mapping from column name to value."""
    return {name: getattr(row, name) for name in row.names()}


def rows_of(table: pa.Table, kind: type[R], store: Store | None = None) -> list[R]:
    """Read the rows of a table as `kind`. Artifacts are bound to `store`.

    Raises:
        SchemaMismatch: the table lacks a column of `kind` that has no default.
    """
    names = [n for n in kind.names() if n in table.column_names]
    missing = [n for n in kind.names() if n not in names and n not in kind.optional_names()]
    if missing:
        raise SchemaMismatch(
            f"{kind.__name__} reads {', '.join(missing)}, but the table has no such column",
            remedy="add the column in an earlier step, or give it a default in the row",
        )
    columns = [_from_arrow(table.column(n), store) for n in names]
    if not columns:
        return [kind() for _ in range(table.num_rows)]
    return [kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]


def _from_arrow(column: pa.ChunkedArray, store: Store | None) -> Iterable[Any]:
    if column.type == ARTIFACT:
        return [v and Artifact(store=store, **v) for v in column.to_pylist()]
    if column.type == _list(pa.float32()):
        return [array("f", v.values.to_numpy().tobytes()) if v.is_valid else None for v in _scalars(column)]
    if pa.types.is_list(column.type):
        return [v if v is None else tuple(v) for v in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def _scalars(column: pa.ChunkedArray) -> Iterable[Any]:
    return (value for chunk in column.chunks for value in chunk)


def _to_arrow(value: Any) -> Any:
    if isinstance(value, Artifact):
        return {"path": value.path, "size_bytes": value.size_bytes, "sha256": value.sha256}
    return value


def _arrow_type(kind: object, name: str) -> pa.DataType:
    if get_origin(kind) is tuple:
        item, *rest = get_args(kind)
        if item in (str, int, float, bool, bytes) and rest == [Ellipsis]:
            return _list(_ARROW[item])
    kind = kind if get_origin(kind) is tuple else get_origin(kind) or kind
    if kind not in _ARROW:
        raise SchemaMismatch(
            f"column {name!r} has type {kind}, which Parquet cannot store",
            remedy="use str, int, float, bool, bytes, a tuple of one of them, Vector, Artifact, or `| None`",
        )
    return _ARROW[kind]


def _unwrap_optional(kind: object) -> tuple[object, bool]:
    if get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
        rest = [k for k in get_args(kind) if k is not type(None)]
        return (rest[0] if len(rest) == 1 else kind), True
    return kind, False
