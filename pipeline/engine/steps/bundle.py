"""A bundle holds several Arrow tables in one file; one range read reads one of the tables.

8 bytes, little-endian: the length of the index in bytes
the index, JSON: name of a table to its offset after the index and its size, both in bytes
the tables, one after another, each as an Arrow IPC stream
"""

import json
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
    begin, places = _index(store, name)
    if key not in places:
        return None
    start, size = places[key]
    try:
        return pa.ipc.open_stream(store.read(name, begin + start, size)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(store, name, error) from error


@lru_cache(maxsize=4096)
def _index(store: Store, name: str) -> tuple[int, dict[str, tuple[int, int]]]:
    """Where the tables begin, and the offset and size of each after that. A bundle never changes."""
    head = store.read(name, 0, _FIRST_READ)
    begin = 8 + int.from_bytes(head[:8], "little")
    if len(head) < begin:
        head = store.read(name, 0, begin)
    try:
        return begin, {key: (start, size) for key, (start, size) in json.loads(head[8:begin]).items()}
    except ValueError as error:
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
