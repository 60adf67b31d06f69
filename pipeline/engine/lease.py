"""The lease on a store: a run holds it, and a second driver learns which run that is.

A lease only avoids doing work twice. Two drivers on one store still give one complete and equal
result, because the first to commit a part wins.
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
from pipeline.history.lease_holder import LEASE_FILE, lease_holder, read_lease

GC_PREFIX = "gc-"  # of the name under which `clipmill gc` holds a store
_HEARTBEAT_S = 5.0


class Lease:
    """Holds a store while a run goes on. With `force`, runs beside the holder, and holds the store after it.

    Raises:
        StoreHeld: on entering, if a living run holds the store; with `force`, only if `clipmill gc` does.
    """

    def __init__(self, store: Store, run: str, *, force: bool = False) -> None:
        self.store, self.run, self.force = store, run, force
        self._held = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._held = self._acquire()
        if not self._held:
            holder = lease_holder(self.store) or {}
            if not self.force or _is_gc(holder):
                raise _held_by(self.store, holder)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._held:
            lease = read_lease(self.store)
            if lease and lease["run"] == self.run:
                self.store.remove(LEASE_FILE)

    def check(self) -> None:
        """Raise StoreHeld if another run took the store, for example while this process was suspended."""
        lease = read_lease(self.store)
        if lease is None or lease["run"] != self.run:
            raise _held_by(self.store, lease or {})

    def _acquire(self) -> bool:
        if self.store.create(LEASE_FILE, self._content()):
            return True
        if lease_holder(self.store) is not None:
            return False
        self.store.replace(LEASE_FILE, self._content())  # the run that wrote the file is dead
        time.sleep(0.2)  # if two drivers find it at the same time, the last to write holds it
        holder = lease_holder(self.store)
        return holder is not None and holder["run"] == self.run

    def _send_heartbeats(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S):
            with suppress(ClipmillError, OSError):  # the next heartbeat may succeed
                if not self._held:
                    self._held = self._acquire()
                elif (read_lease(self.store) or {"run": self.run})["run"] == self.run:
                    self.store.replace(LEASE_FILE, self._content())

    def _content(self) -> bytes:
        lease = {
            "run": self.run,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "beat": time.time(),
            "started": psutil.Process().create_time(),
        }
        return json.dumps(lease).encode()


def _is_gc(holder: Mapping[str, Any]) -> bool:
    return str(holder.get("run")).startswith(GC_PREFIX)


def _held_by(store: Store, holder: Mapping[str, Any]) -> StoreHeld:
    if _is_gc(holder):
        return StoreHeld(
            f"clipmill gc deletes files of this store (process {holder.get('pid')} on {holder.get('host')})",
            where=f"{store.url}/{LEASE_FILE}",
            remedy="wait until it ends; --force does not help, because a run could lose its tables",
        )
    run = f"run {holder.get('run')} (process {holder.get('pid')} on {holder.get('host')})"
    return StoreHeld(
        f"the store is held by {run}",
        where=f"{store.url}/{LEASE_FILE}",
        remedy="wait for that run, stop it, or run beside it with --force (the work is then done twice)",
    )
