"""Reads lists of footage: text with a path or URL per line, or tables with a column `uri`."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import urljoin

from manifests import ClipmillError
from manifests.messages import join_names
from stages.media.uri import is_http, local_path

LIST_EXTENSIONS = (".txt", ".csv", ".jsonl", ".ndjson", ".parquet")
MAX_LIST_BYTES = 1 << 30
_COLUMN = "uri"


class Entry(NamedTuple):
    """One entry of a list.

    Attributes:
        line: Its line, from 1; in Parquet, its row.
        location: Path or URL as written; "" if the entry is invalid.
        problem: Why the entry is invalid, or "".
    """

    line: int
    location: str
    problem: str = ""


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
        ValueError: A list at a URL names a file of this machine, or a URL is incomplete.
    """
    folder = local_path(list_uri)
    if local_path(location) is None:
        if not location.partition("://")[2].strip("/"):
            raise ValueError("the URL names no file")
        return location
    if folder is not None:
        path = local_path(location) or ""
        return str(PurePosixPath(PurePosixPath(folder).parent, path))
    if location.startswith(("/", "file://")):
        raise ValueError("a list at a URL cannot name files of this machine")
    if is_http(list_uri):
        return urljoin(list_uri, f"./{location}")
    return f"{list_uri.rpartition('/')[0]}/{location}"


def _text(name: str, text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        location = line.strip()
        if location and not location.startswith("#"):
            yield Entry(number, location)


def _csv(name: str, text: str) -> Iterator[Entry]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if _COLUMN not in (reader.fieldnames or ()):
        raise _no_column(name, list(reader.fieldnames or ()))
    try:
        for row in reader:
            yield Entry(reader.line_num, row[_COLUMN] or "")
    except csv.Error as error:
        raise _unreadable(name, f"line {reader.line_num}: {error}") from error


def _json_lines(name: str, text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            yield Entry(number, "", "not a line of JSON")
            continue
        location = record.get(_COLUMN) if isinstance(record, dict) else None
        yield Entry(number, location if isinstance(location, str) else "")


def _parquet(name: str, data: bytes) -> Iterator[Entry]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(pa.BufferReader(data)).names
        if _COLUMN not in names:
            raise _no_column(name, names)
        values = pq.read_table(pa.BufferReader(data), columns=[_COLUMN]).column(_COLUMN).to_pylist()
    except pa.ArrowException as error:
        raise _unreadable(name, str(error)) from error
    for number, value in enumerate(values, 1):
        yield Entry(number, value) if isinstance(value, str) and value else Entry(number, "", "no uri")


def _no_column(name: str, columns: list[str]) -> ClipmillError:
    return ClipmillError(
        f"the list has no column {_COLUMN!r}",
        where=name,
        remedy=f"name the column with paths or URLs {_COLUMN!r}; its columns: {join_names(columns)}",
    )


def _unreadable(name: str, reason: str) -> ClipmillError:
    return ClipmillError(f"the list cannot be read: {reason}", where=name, remedy="correct the file")
