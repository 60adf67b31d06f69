"""Reads the events of a run from a store, in the order in which they were written."""

import json
from collections.abc import Iterator
from typing import Any

from manifests.errors import Damaged
from manifests.store import Store
from pipeline.events.writer import FILE


def read_events(store: Store, folder: str, offsets: dict[str, int] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events in the folder of a run. The last line of a driver that was killed may be incomplete.

    Args:
        store: The store.
        folder: The folder of the run in the store.
        offsets: The bytes of each file that earlier calls have read. They are not read again.

    Raises:
        Damaged: another line is no JSON.
    """
    offsets = {} if offsets is None else offsets
    names = [name for name in store.names(folder) if name == FILE or _is_object(name)]
    for name in sorted(names):
        if _is_object(name) and name in offsets:  # an object is written at once
            continue
        start = offsets.get(name, 0)
        lines = store.read(f"{folder}/{name}", start).split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                event = json.loads(line) if line else None
            except (ValueError, RecursionError) as error:
                if number == len(lines):
                    break
                where = f"{store.url}/{folder}/{name}, byte {start}"
                raise Damaged(f"this line is not JSON: {error}", where=where) from error
            start = offsets[name] = start + len(line) + (number < len(lines))
            if event is not None:
                yield event


def _is_object(name: str) -> bool:
    return name.startswith("events-") and name.endswith(".jsonl")
