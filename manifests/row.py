"""A row: a frozen, keyword-only dataclass whose fields are columns of a table."""

from array import array
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, dataclass_transform, get_type_hints

from manifests.column import column

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
