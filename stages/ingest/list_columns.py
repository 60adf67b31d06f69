"""The further columns of a list, such as license or camera_id, as columns of the videos.

A column keeps its name in lower_snake_case. If a step of Clipmill has a column of this name, the column of
the list begins with `list_`: `list_caption`.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from manifests import ClipmillError, ManifestError, Row, column, make_row
from manifests.messages import join_names
from manifests.row import check_column_name

PREFIX = "list_"
ALL_VALUES = "list_values"  # the column with all further columns as JSON, for the metadata of clips
MAX_COLUMNS = 200
_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_NO_VALUE: dict[type, Any] = {str: "", int: -1, float: float("nan"), bool: False}
_TEXT = ("caption", "license", "source", "split")  # columns that are text whatever they hold


class ListColumn(NamedTuple):
    """A further column of a list: its name and type in tables. Written as `name:type`."""

    name: str
    type: type

    def __str__(self) -> str:
        return f"{self.name}:{self.type.__name__}"


def infer_columns(records: Iterable[Mapping[str, Any]], taken: Collection[str]) -> list[ListColumn]:
    """The columns for these values: text, or numbers or flags if all values of a column are such.

    Args:
        records: The values of each entry, by the name of the column in the list.
        taken: Names that columns of a list cannot have.

    Raises:
        ClipmillError: There are too many columns, or two of them get the same name.
    """
    kinds: dict[str, set[type]] = {}
    for record in records:
        for written, value in record.items():
            kinds.setdefault(written, set()).add(type(value))
    found: dict[str, str] = {}
    columns = []
    for written, types in kinds.items():
        name = column_name(written, taken)
        if not name:
            continue  # `left_out` tells the user
        if name in found:
            raise ClipmillError(
                f"the columns {found[name]!r} and {written!r} of the list both become {name!r}",
                remedy="rename one of them",
            )
        found[name] = written
        columns.append(ListColumn(name, str if name.removeprefix(PREFIX) in _TEXT else _common_type(types)))
    if len(columns) > MAX_COLUMNS:
        raise ClipmillError(
            f"the list has {len(columns)} columns; at most {MAX_COLUMNS} are read", remedy="remove columns"
        )
    return sorted(columns)


def _common_type(types: set[type]) -> type:
    if types == {int, float}:
        return float
    return next(iter(types)) if len(types) == 1 else str


def column_name(written: str, taken: Collection[str] = ()) -> str:
    """The name of a column of a list in tables, or "" if it has no letter or digit of ASCII."""
    plain = unicodedata.normalize("NFKD", written).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not name:
        return ""
    try:
        check_column_name(name)
        return f"{PREFIX}{name}" if name in taken else name
    except ManifestError:
        return f"{PREFIX}{name}"[:64].strip("_")


def parse_columns(texts: Sequence[str]) -> list[ListColumn]:
    """Read columns that are written as `name:type`.

    Raises:
        ClipmillError: A type is unknown.
    """
    columns = []
    for text in texts:
        name, _, kind = text.partition(":")
        if kind not in _TYPES:
            raise ClipmillError(
                f"the column {text!r} of the list has no type",
                remedy=f"write it like license:str; types: {join_names(_TYPES)}",
            )
        columns.append(ListColumn(name, _TYPES[kind]))
    return columns


def extend_row(base: type[Row], columns: Sequence[ListColumn]) -> type[Row]:
    """The row type with the columns of the list, and `list_values`."""
    if not columns:
        return base
    added = {c.name: (c.type | None, _declare(c)) for c in columns}
    every = column("all further columns of the list, as JSON")
    return make_row(base.__name__, {**added, ALL_VALUES: (str, every)}, base=base)


def _declare(each: ListColumn) -> Any:
    return column(f"{each.name.removeprefix(PREFIX)}, by the list", unit="1" if each.type is float else "")


def values_of(record: Mapping[str, Any], columns: Sequence[ListColumn]) -> dict[str, Any]:
    """The columns of a video.

    Raises:
        ClipmillError: A value does not have the type of its column.
    """
    if not columns:
        return {}
    written = {column_name(key): value for key, value in record.items()}
    written |= {f"{PREFIX}{name}": value for name, value in written.items() if name}
    found = {c.name: _converted(written.get(c.name), c) for c in columns}
    full = {c.name: _NO_VALUE[c.type] if found[c.name] is None else found[c.name] for c in columns}
    return {**found, ALL_VALUES: json.dumps(full, sort_keys=True, ensure_ascii=False)}


def _converted(value: Any, each: ListColumn) -> Any:
    if value is None or type(value) is each.type:
        return value
    if each.type is float and type(value) is int:
        return float(value)
    if each.type is str:
        return json.dumps(value)
    raise ClipmillError(
        f"{each.name} is {value!r} in the list, but `list_columns` says {each}",
        remedy="correct the list, or the type in `list_columns`",
    )


def left_out(records: Iterable[Mapping[str, Any]], columns: Sequence[ListColumn]) -> list[str]:
    """The columns of the list that are not columns of the videos, by their names in the list."""
    written = dict.fromkeys(key for record in records for key in record)
    names = {c.name for c in columns}
    return [key for key in written if not {column_name(key), f"{PREFIX}{column_name(key)}"} & names]
