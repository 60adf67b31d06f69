"""A row: a frozen, keyword-only dataclass whose fields are columns of a table."""

import re
from array import array
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache, lru_cache
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, TypeAlias, dataclass_transform, get_type_hints

from manifests.column import column
from manifests.errors import ManifestError

MAX_COLUMN_NAME = 64  # characters
_COLUMN_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# Typecode "f" (float32), stored as list<float>; `numpy.asarray(v)` copies nothing.
if TYPE_CHECKING:
    Vector: TypeAlias = array[float]
else:
    Vector = array


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(column,))
class Row:
    """Base class of rows. A subclass lists its columns and becomes a frozen, keyword-only dataclass.

    A column has the type `str`, `int`, `float`, `bool`, `bytes`, `Vector` (float32), `Artifact`, `tuple[T,
    ...]` with T one of the first five, or one of these with `| None`. A row that a stage *reads* can use
    annotations alone; a row that a stage *adds* declares each column with `column(...)`.
    """

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def columns(cls) -> "tuple[Field[Any], ...]":
        """The declared columns, in order."""
        return _columns(cls)  # type: ignore[arg-type]  # mypy confuses the class with its instances

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The column names, in order."""
        return _names(cls)  # type: ignore[arg-type]

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        """The names of the key columns, which identify the row among its siblings."""
        return _key_names(cls)  # type: ignore[arg-type]

    @classmethod
    def names_by_id(cls) -> tuple[str, ...]:
        """The names of the columns whose values the row's id determines."""
        return ("id", *(f.name for f in cls.columns() if f.metadata.get("by_id") and f.name != "id"))

    @classmethod
    def optional_names(cls) -> frozenset[str]:
        """The names of the columns with a default; a table that is read can lack them."""
        return frozenset(f.name for f in cls.columns() if f.default is not MISSING)

    @classmethod
    def types(cls) -> dict[str, Any]:
        """The resolved type of each column."""
        return _types(cls)  # type: ignore[arg-type]


@cache
def _columns(kind: Any) -> "tuple[Field[Any], ...]":
    return fields(kind) if kind is not Row else ()


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in kind.columns())


@cache
def _key_names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in kind.columns() if f.metadata.get("key"))


@cache
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.names()}


def make_row(name: str, columns: Mapping[str, tuple[Any, Any]], base: type[Row] = Row) -> type[Row]:
    """Return a row type whose columns are decided at run time: those of `base`, then `columns`.

    Equal arguments return the same class.

    Args:
        name: Name of the class.
        columns: Type and `column(…)` of each column by name: `{"license": (str | None, column("…"))}`.
        base: Row type that it extends.

    Raises:
        ManifestError: A name is not lower_snake_case, is a word of Python, or is taken.
    """
    for column_name in columns:
        check_column_name(column_name, base)
    described = (
        (key, kind, declared.default, tuple(declared.metadata.items()))
        for key, (kind, declared) in columns.items()
    )
    made: type[Row] = _make_row(name, tuple(described), base)  # type: ignore[arg-type]  # as above
    return made


def check_column_name(name: str, base: type[Row] = Row) -> None:
    """Check that a row type that extends `base` can have a column of this name.

    Raises:
        ManifestError: The name is not lower_snake_case, is a word of Python, or is taken.
    """
    if not _COLUMN_NAME.fullmatch(name) or len(name) > MAX_COLUMN_NAME:
        problem = f"is not lower_snake_case with at most {MAX_COLUMN_NAME} characters"
    elif iskeyword(name):
        problem = "is a word of Python"
    elif name in ("id", "parent", *base.names()) or hasattr(base, name):
        problem = "is taken"
    else:
        return
    raise ManifestError(f"the column name {name!r} {problem}", remedy="choose another name for the column")


@lru_cache(maxsize=1024)
def _make_row(name: str, columns: tuple[tuple[str, Any, Any, tuple[Any, ...]], ...], base: Any) -> Any:
    namespace: dict[str, Any] = {"__doc__": base.__doc__, "__module__": base.__module__}
    namespace["__annotations__"] = {key: kind for key, kind, *_ in columns}
    namespace |= {key: field(default=default, metadata=dict(meta)) for key, _, default, meta in columns}
    return type(name, (base,), namespace)
