"""Writes the events of a run into its folder: one file in a folder, numbered objects on an object store."""

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from manifests.errors import ClipmillError
from manifests.store import Store

FILE = "events.jsonl"
FOLDER_S, OBJECTS_S = 1.0, 30.0  # seconds between two writes to a folder, and to an object store
_SLOW_S = 10.0  # a write that takes longer is an event itself
_encode = lru_cache(4096)(json.JSONEncoder(ensure_ascii=False).encode)  # names of steps occur often


class EventWriter:
    """Collects the events of a run and writes them together. A run does not fail because of its events.

    A driver that is killed loses the events since the last write: one second of a folder, thirty of an object
    store. The tables are complete in any case.

    Args:
        store: The store.
        folder: The folder of the run in the store.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self._events: list[tuple[float, str, Mapping[str, Any]]] = []
        self._objects = 0
        self._appends = True  # until the store says that it cannot append
        self._written_at_s = time.monotonic()

    def add(self, event: str, fields: Mapping[str, Any]) -> None:
        """Add an event; the fields are those of its kind in `EVENTS`: text, numbers and None."""
        self._events.append((time.time(), event, fields))

    def write_if_due(self) -> None:
        """Write the events if the last write was long enough ago."""
        every_s = FOLDER_S if self._appends else OBJECTS_S
        if self._events and time.monotonic() - self._written_at_s >= every_s:
            self.write()

    def write(self) -> None:
        """Write the events that are not written yet; if the store fails, the next call tries again."""
        if not self._events:
            return
        started_s, count = time.monotonic(), len(self._events)
        try:
            self._write(_lines(self._events[:count]))
            del self._events[:count]
        except (ClipmillError, OSError):
            pass
        self._written_at_s = time.monotonic()
        if self._written_at_s - started_s > _SLOW_S:
            self.add("store_waited", {"seconds": round(self._written_at_s - started_s, 3)})

    def _write(self, data: bytes) -> None:
        if self._appends:
            self._appends = self.store.append(f"{self.folder}/{FILE}", data)
        if not self._appends:
            is_written = False
            while not is_written:  # a number that another driver of the run has used is skipped
                self._objects += 1
                is_written = self.store.create(f"{self.folder}/{object_name(self._objects)}", data)


def object_name(number: int) -> str:
    """The name of an object with events; the first has number 1."""
    return f"events-{number:05d}.jsonl"


def _lines(events: list[tuple[float, str, Mapping[str, Any]]]) -> bytes:
    lines, second, stamp = [], -1, ""
    for seconds, event, fields in events:
        if int(seconds) != second:
            second = int(seconds)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        # This takes a third of the time of one call of `json.dumps` per line.
        values = [
            f', "{name}": {value!r}'
            if type(value) is int or type(value) is float
            else f', "{name}": {_encode(value)}'
            for name, value in fields.items()
        ]
        milliseconds = int((seconds - second) * 1000)
        lines.append(f'{{"time": "{stamp}.{milliseconds:03d}Z", "event": "{event}"{"".join(values)}}}')
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
