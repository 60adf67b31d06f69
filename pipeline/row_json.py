"""Converts the values of a row to plain JSON and back, for journals and for the pieces of rows."""

import base64
import json
from array import array
from collections.abc import Mapping
from typing import Any, TypeVar

from manifests.artifact import Artifact
from manifests.row import Row

R = TypeVar("R", bound=Row)


def to_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record (column name to value) as plain JSON. Artifacts must be saved in a store.

    Raises:
        TypeError: when it is written, if no column may have a value of its type.
    """
    return {name: _plain(value) for name, value in record.items()}


def from_json(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The record that `to_json` returned."""
    return {name: _value(value) for name, value in plain.items()}


def round_trip(row: R) -> R:
    """The row after conversion to JSON and back: NumPy scalars become Python numbers; artifacts stay.

    A row that stays in one process then has the same values as one that is sent to another process.
    """
    record = {name: getattr(row, name) for name in row.names()}
    files = {name: value for name, value in record.items() if isinstance(value, Artifact)}
    rest = {name: value for name, value in record.items() if name not in files}
    return type(row)(**from_json(json.loads(json.dumps(to_json(rest)))), **files)


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case array():
            return {"vector": base64.b64encode(array("f", value).tobytes()).decode()}
        case Artifact():
            return {"artifact": [value.path, value.size_bytes, value.sha256]}
        case tuple():
            return {"tuple": [_plain(v) for v in value]}
        case _ if hasattr(value, "tolist"):
            return value.tolist()  # a NumPy scalar or array
    return value


def _value(plain: Any) -> Any:
    match plain:
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"vector": text}:
            return array("f", base64.b64decode(text))
        case {"artifact": [path, size_bytes, sha256]}:
            return Artifact(path, size_bytes, sha256)
        case {"tuple": values}:
            return tuple(_value(v) for v in values)
    return plain
