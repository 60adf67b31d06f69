"""Between rows and Arrow: a row type's schema with units and meanings, and rows to tables and back."""

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
    """A list with the name for its items that Parquet gives back, so that a copied table has equal bytes."""
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
    """The Arrow schema of the columns of all given row types, in order.

    Raises:
        SchemaMismatch: a column has a type that Parquet cannot hold.
    """
    found = []
    for row in rows:
        for col in row.columns():
            kind, nullable = _unwrap_optional(row.types()[col.name])
            note = {k: str(v) for k, v in col.metadata.items() if k in ("meaning", "unit")}
            found.append(pa.field(col.name, _arrow_type(kind, col.name), nullable, note or None))
    return pa.schema(found)


def table_of(records: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Records (column name to value) as a table.

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
            made = pa.array(values, field.type)
        except (pa.ArrowInvalid, TypeError, OverflowError, UnicodeError) as error:
            raise SchemaMismatch(
                f"column {field.name!r} holds {field.type}, and got something else: {error}",
                remedy="make the stage return the type that its row declares",
            ) from error
        if pa.types.is_list(made.type) and made.flatten().null_count:
            raise SchemaMismatch(f"column {field.name!r} has a missing value inside a list")
        if made.null_count and not field.nullable:
            raise SchemaMismatch(
                f"column {field.name!r} has {made.null_count} missing values",
                remedy=f"declare it `{field.name}: … | None`, or reject the row",
            )
        columns.append(made)
    return pa.Table.from_arrays(columns, schema=schema)


def _check_types(values: Iterable[Any], wanted: pa.DataType) -> None:
    """Refuse what Arrow would bend in silence: 1.5 to 1, True to 1.0, bytes to text.

    Raises:
        TypeError: naming the type that does not fit.
    """
    kinds = set(map(type, values)) - {type(None)}
    if pa.types.is_list(wanted):
        wrong = kinds & {str, bytes}
        if not wrong and wanted != _list(pa.float32()):
            _check_types([item for value in values if value is not None for item in value], wanted.value_type)
    else:
        wrong = {kind for kind in kinds if not _fits(kind, wanted)}
    if wrong:
        raise TypeError(", ".join(sorted(kind.__name__ for kind in wrong)))


def _fits(kind: type, wanted: pa.DataType) -> bool:
    flag = kind.__name__ in ("bool", "bool_")  # NumPy's is no subclass
    if pa.types.is_boolean(wanted):
        return flag
    if pa.types.is_integer(wanted):
        return issubclass(kind, Integral) and not flag
    if pa.types.is_floating(wanted):
        return issubclass(kind, Real) and not flag
    return issubclass(kind, {pa.string(): str, pa.binary(): bytes}.get(wanted, object))


def record_of(row: Row) -> dict[str, Any]:
    """A row as column name to value."""
    return {name: getattr(row, name) for name in row.names()}


def rows_of(table: pa.Table, kind: type[R], store: Store | None = None) -> list[R]:
    """The rows of a table, read as `kind`; artifacts are bound to `store`.

    Raises:
        SchemaMismatch: the table lacks a column of `kind` that has no default.
    """
    names = [n for n in kind.names() if n in table.column_names]
    lost = [n for n in kind.names() if n not in names and n not in kind.optional_names()]
    if lost:
        raise SchemaMismatch(f"{kind.__name__} reads {', '.join(lost)}, which the table lacks")
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
            f"column {name!r} has type {kind}, which no Parquet column can hold",
            remedy="use str, int, float, bool, bytes, a tuple of one of them, Vector, Artifact, or `| None`",
        )
    return _ARROW[kind]


def _unwrap_optional(kind: object) -> tuple[object, bool]:
    if get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
        rest = [k for k in get_args(kind) if k is not type(None)]
        return (rest[0] if len(rest) == 1 else kind), True
    return kind, False
