"""The lease on a store: whoever runs says so, and a second driver is told who that is.

It saves double work, no more: two drivers at once still give one whole and equal result, since
the first to commit a part wins.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import psutil

from manifests.errors import ClipmillError
from manifests.store import Store
from pipeline.errors import StoreHeld

NAME = "lease.json"
_BEAT_S = 5.0
_DEAD_AFTER_S = 60.0  # without a beat; a process of this machine is seen to be dead at once


class Lease:
    """Holds a store while a run goes on. `force` runs without it, beside whoever holds it.

    Raises:
        StoreHeld: on entering, if a living run holds the store.
    """

    def __init__(self, store: Store, run: str, *, force: bool = False) -> None:
        self.store, self.run, self.force = store, run, force
        self._held = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        taken = self.store.create(NAME, self._text())
        holder = None if taken else holder_of(self.store)
        if not taken and holder is None:  # left behind by a run that is dead
            self.store.replace(NAME, self._text())
            time.sleep(0.2)  # of two that find it at once, the last to write has it
            holder = holder_of(self.store)
            taken = holder is not None and holder["run"] == self.run
        if not taken and not self.force:
            raise _held(self.store, holder or {})
        if taken:
            self._held = True
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._held:
            self._thread.join()
            holder = _read(self.store)
            if holder and holder["run"] == self.run:
                self.store.remove(NAME)

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_S):
            with suppress(ClipmillError, OSError):  # the next beat may get through
                self.store.replace(NAME, self._text())

    def _text(self) -> bytes:
        said = {"run": self.run, "host": socket.gethostname(), "pid": os.getpid(), "beat": time.time()}
        return json.dumps({**said, "started": psutil.Process().create_time()}).encode()


def holder_of(store: Store) -> Mapping[str, Any] | None:
    """Who holds a store (run, host, pid, beat), or None if no living run does."""
    found = _read(store)
    if found is None or time.time() - found["beat"] > _DEAD_AFTER_S:
        return None
    if found["host"] == socket.gethostname():
        try:
            if abs(psutil.Process(found["pid"]).create_time() - found["started"]) > 1:
                return None
        except psutil.NoSuchProcess:
            return None
    return found


def _read(store: Store) -> Mapping[str, Any] | None:
    try:
        found = json.loads(store.read(NAME))
        return found if {"run", "host", "pid", "beat", "started"} <= found.keys() else None
    except (FileNotFoundError, ValueError):
        return None


def _held(store: Store, holder: Mapping[str, Any]) -> StoreHeld:
    who = f"run {holder.get('run')} (process {holder.get('pid')} on {holder.get('host')})"
    return StoreHeld(
        f"the store is held by {who}",
        where=f"{store.url}/{NAME}",
        remedy="wait for it, stop it, or run beside it with --force (the work is then done twice)",
    )
