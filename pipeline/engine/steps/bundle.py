"""A bundle: several Arrow tables in one file, each of which is read by itself with one range read.

eight bytes, little-endian: the length of the index
the index, JSON: name of a table to its start in the file and its size in bytes
the tables, one after the other, each as an Arrow IPC stream
"""

import json
from collections.abc import Mapping
from functools import lru_cache

import pyarrow as pa

from manifests.errors import Damaged
from manifests.store import Store

_HEAD = 1 << 16  # read at first: most indexes end within


def write_bundle(store: Store, name: str, tables: Mapping[str, pa.Table]) -> None:
    """Commit tables under their names; equal tables give equal bytes."""
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
    """One table of a bundle, or None where it holds none of that name."""
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
    """Where the tables begin, and the place of each after that. A bundle never changes."""
    head = store.read(name, 0, _HEAD)
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
        f"the workings of a comparison cannot be read: {error}",
        where=f"{store.url}/{name}",
        remedy="take the file away and run again; what is not damaged is kept",
    )
