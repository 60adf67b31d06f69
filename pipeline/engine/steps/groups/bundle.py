"""A bundle holds several Arrow tables in one file; one range read reads one of the tables.

8 bytes, little-endian: the length of the index in bytes
the index, JSON: name of a table to its offset after the index and its size, both in bytes
the tables, one after another, each as an Arrow IPC stream
"""

import json
import sys
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache

import pyarrow as pa

from manifests.errors import Damaged
from manifests.store import Store

_FIRST_READ = 1 << 16  # bytes: most indexes are shorter


def write_bundle(store: Store, name: str, tables: Mapping[str, pa.Table]) -> None:
    """Commit tables under their names. Equal tables give equal bytes."""
    streams = {key: _stream(table) for key, table in sorted(tables.items())}
    places, start = {}, 0
    for key, stream in streams.items():
        places[key] = (start, stream.size)
        start += stream.size
    index = json.dumps(places).encode()
    head = len(index).to_bytes(8, "little") + index
    store.create(name, b"".join([head, *(memoryview(stream) for stream in streams.values())]))


def names_in_bundle(store: Store, name: str) -> tuple[str, ...]:
    """The names of the tables in a bundle, sorted."""
    return tuple(_index(store, name)[1])


def read_bundle(store: Store, name: str, key: str) -> pa.Table | None:
    """One table of a bundle, or None if it has no table of that name.

    Raises:
        Damaged: the file is cut off or not a bundle.
    """
    begin, names, ends = _index(store, name)
    place = bisect_left(names, key)
    if place == len(names) or names[place] != key:
        return None
    start = ends[place - 1] if place else 0
    try:
        return pa.ipc.open_stream(store.read(name, begin + start, ends[place] - start)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(store, name, error) from error


@lru_cache(maxsize=4096)
def _index(store: Store, name: str) -> tuple[int, tuple[str, ...], "array[int]"]:
    """Where the tables begin, their sorted names, and where each ends after that. A bundle never changes."""
    head = store.read(name, 0, _FIRST_READ)
    begin = 8 + int.from_bytes(head[:8], "little")
    if len(head) < begin:
        head = store.read(name, 0, begin)
    try:
        places = json.loads(head[8:begin])
        ends = array("Q", (start + size for start, size in places.values()))
        return begin, tuple(map(sys.intern, places)), ends
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _damaged(store, name, error) from error


def _stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def _damaged(store: Store, name: str, error: Exception) -> Damaged:
    return Damaged(
        f"the intermediate results of a comparison cannot be read: {error}",
        where=f"{store.url}/{name}",
        remedy="delete the file and run again; undamaged files are kept",
    )
