"""Reads lists of footage: text with a path or URL per line, or tables with a column `uri`."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

from manifests import ClipmillError
from manifests.messages import join_names
from stages.media.remote.addresses import may_be_private
from stages.media.uri import hide_secrets, is_http, listed_url, local_path, tar_member

if TYPE_CHECKING:
    import pyarrow as pa

LIST_EXTENSIONS = (".txt", ".csv", ".jsonl", ".ndjson", ".parquet")
MAX_LIST_BYTES = 1 << 30
_COLUMN = "uri"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # 007 is a name, not a number
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")  # longer: an id
_FLAGS = {"true": True, "false": False}


class Entry(NamedTuple):
    """One entry of a list.

    Attributes:
        line: Its line, from 1; in Parquet, its row.
        location: Path or URL as written; "" if the entry is invalid.
        problem: Why the entry is invalid, or "".
        values: The values of its other columns, by name: text, numbers and flags; other values as JSON. A
            missing value is left out.
    """

    line: int
    location: str
    problem: str = ""
    values: Mapping[str, Any] = _NOTHING


def is_list(location: str) -> bool:
    """Return whether a path or URL has the ending of a list."""
    return PurePosixPath(location).suffix.lower() in LIST_EXTENSIONS


def parse_list(name: str, data: bytes) -> list[Entry]:
    """Return the entries of a list file.

    Args:
        name: Path or URL of the list; its ending decides the format.
        data: Content of the file.

    Raises:
        ClipmillError: The file has no column `uri`, or is not in its format.
    """
    ending = PurePosixPath(name).suffix.lower()
    if ending == ".parquet":
        return list(_parquet(name, data))
    text = data.decode("utf-8-sig", "surrogateescape")
    parse = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(ending, _text)
    return [
        entry if entry.location or entry.problem else entry._replace(problem="no uri")
        for entry in parse(name, text)
    ]


def absolute_location(location: str, list_uri: str) -> str:
    """Return the path or URL of an entry. A relative one is relative to the folder of the list.

    Raises:
        ValueError: A list at a URL names a file of this machine, a URL is incomplete, or the entry is a
            reference that only a listing makes, such as a member of a tar.
    """
    if tar_member(location):
        raise ValueError("an entry cannot be a member of a tar: name the tar")
    folder, path = local_path(list_uri), local_path(location)
    if folder is None and location.startswith(("/", "file://", "local://")):
        raise ValueError("a list at a URL cannot name files of this machine")
    if path is None:
        if not location.partition("://")[2].strip("/"):
            raise ValueError("the URL names no file")
        url = location
    elif folder is not None:
        return str(PurePosixPath(PurePosixPath(folder).parent, path))
    elif is_http(list_uri):
        url = urljoin(list_uri, f"./{location}")
    else:
        url = f"{list_uri.rpartition('/')[0]}/{location}"
    if may_be_private(url) or listed_url(url):
        raise ValueError("an entry cannot end with #private or #list=: name the URL alone")
    return url


def _text(name: str, text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        location = line.strip()
        if location and not location.startswith("#"):
            yield Entry(number, location)


def _csv(name: str, text: str) -> Iterator[Entry]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows = []
    try:
        names = list(reader.fieldnames or ())
        if _COLUMN not in names:
            raise _no_column(name, names)
        for row in reader:
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise _unreadable(name, f"line {reader.line_num}: {error}") from error
    columns = [column for column in names if column != _COLUMN]
    typed = {column: _typed([_encodable(row[column] or "").strip() for _, row in rows]) for column in columns}
    for number, (line, row) in enumerate(rows):
        values = {_encodable(c): typed[c][number] for c in columns if typed[c][number] != ""}
        yield Entry(line, row[_COLUMN] or "", values=values)


def _typed(texts: list[str]) -> list[Any]:
    """The values of a column of text as whole numbers, numbers or flags, if all that exist are such."""
    existing = [text for text in texts if text]
    if existing and all(map(_INT.fullmatch, existing)):
        return [int(text) if text else "" for text in texts]
    if existing and all(map(_FLOAT.fullmatch, existing)):
        return [float(text) if text else "" for text in texts]
    if existing and all(text.lower() in _FLAGS for text in existing):
        return [_FLAGS[text.lower()] if text else "" for text in texts]
    return list(map(hide_secrets, texts))


def plain_values(record: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a record as text, numbers and flags; other values as JSON. None and NaN are left out."""
    found = {_encodable(str(name)): _plain(value) for name, value in record.items() if name != _COLUMN}
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, str):
        return hide_secrets(_encodable(value))
    if value is None or isinstance(value, int):  # also a flag
        return value
    if isinstance(value, list | dict | tuple):
        return hide_secrets(_encodable(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)))
    return None if isinstance(value, bytes) else str(value)


def _encodable(text: str) -> str:
    """The text with ? for each half of a character, which JSON can hold where a text was cut."""
    return text.encode("utf-8", "replace").decode()


def _json_lines(name: str, text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            yield Entry(number, "", "not a line of JSON")
            continue
        record = record if isinstance(record, dict) else {}
        location = record.get(_COLUMN)
        location = _encodable(location) if isinstance(location, str) else ""
        yield Entry(number, location, values=plain_values(record))


def _parquet(name: str, data: bytes) -> Iterator[Entry]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(pa.BufferReader(data))
        if _COLUMN not in schema.names:
            raise _no_column(name, schema.names)
        read = [field.name for field in schema if field.name == _COLUMN or not _is_data(field.type)]
        records = pq.read_table(pa.BufferReader(data), columns=read).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:  # a damaged page is an OSError
        raise _unreadable(name, str(error)) from error
    for number, record in enumerate(records, 1):
        location, values = record[_COLUMN], plain_values(record)
        is_valid = isinstance(location, str) and bool(location)
        yield Entry(number, location if is_valid else "", "" if is_valid else "no uri", values)


def _is_data(kind: "pa.DataType") -> bool:
    """Whether values are bytes or vectors, such as thumbnails or embeddings, which are not read."""
    import pyarrow as pa

    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and (pa.types.is_floating(kind.value_type) or _is_data(kind.value_type))


def _no_column(name: str, columns: list[str]) -> ClipmillError:
    return ClipmillError(
        f"the list has no column {_COLUMN!r}",
        where=name,
        remedy=f"name the column with paths or URLs {_COLUMN!r}; its columns: "
        + _encodable(join_names(columns)),
    )


def _unreadable(name: str, reason: str) -> ClipmillError:
    return ClipmillError(
        f"the list cannot be read: {_encodable(reason)}", where=name, remedy="correct the file"
    )
