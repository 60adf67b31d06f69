"""Reads the events of a run from a store, in the order in which they were written."""

import json
from collections.abc import Iterator
from typing import Any

from manifests.store import Store
from pipeline.events.writer import FILE


def read_events(store: Store, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the events in the folder of a run. The last line of a driver that was killed may be incomplete.

    Raises:
        ValueError: another line is no JSON.
    """
    names = [name for name in store.names(folder) if name == FILE or _is_object(name)]
    for name in sorted(names):
        lines = store.read(f"{folder}/{name}").split(b"\n")
        for number, line in enumerate(lines):
            try:
                if line:
                    yield json.loads(line)
            except ValueError:
                if number < len(lines) - 1:
                    raise


def _is_object(name: str) -> bool:
    return name.startswith("events-") and name.endswith(".jsonl")
