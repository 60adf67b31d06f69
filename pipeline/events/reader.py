"""Reads the events of a run from a store, in the order in which they were written."""

import json
from collections.abc import Iterator
from typing import Any

from manifests.errors import Damaged
from manifests.store import Store
from pipeline.events.writer import FILE


def read_events(store: Store, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the events in the folder of a run. The last line of a driver that was killed may be incomplete.

    Raises:
        Damaged: another line is no JSON.
    """
    names = [name for name in store.names(folder) if name == FILE or _is_object(name)]
    for name in sorted(names):
        lines = store.read(f"{folder}/{name}").split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                if line:
                    yield json.loads(line)
            except (ValueError, RecursionError) as error:
                if number < len(lines):
                    where = f"{store.url}/{folder}/{name}, line {number}"
                    raise Damaged(f"this line is not JSON: {error}", where=where) from error


def _is_object(name: str) -> bool:
    return name.startswith("events-") and name.endswith(".jsonl")
