"""The lease on a store: a run holds it, and a second driver learns which run that is.

A lease only avoids doing work twice. Two drivers on one store still give one complete and equal
result, because the first to commit a part wins.

A heartbeat replaces the lease only if nobody else has written it, and never waits for a store that does not
answer: the next heartbeat comes. After an outage the lease is old although its run lives. Therefore a driver
that finds an old lease first watches it for a while, and takes it only if no heartbeat comes.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from manifests.errors import ClipmillError
from manifests.store import Store
from manifests.stores.outage import store_patience_s, without_waiting
from pipeline.errors import StoreHeld
from pipeline.history.lease_holder import (
    EXPIRES_S,
    LEASE_FILE,
    is_dead,
    lease_age_s,
    lease_of_process,
    parse_lease,
    read_lease,
)

GC_PREFIX = "gc-"  # of the name under which `clipmill gc` holds a store
_HEARTBEAT_S = 5.0
_WATCHED_HEARTBEATS = 3  # an old lease is watched for as long as this many heartbeats take
_logger = logging.getLogger("clipmill.store")


class Lease:
    """Holds a store while a run goes on. With `force`, runs beside the holder, and holds the store after it.

    Raises:
        StoreHeld: on entering, if a living run holds the store; with `force`, only if `clipmill gc` does.
    """

    def __init__(self, store: Store, run: str, *, force: bool = False) -> None:
        self.store, self.run, self.force = store, run, force
        self._written = b""  # the lease as this run wrote it last; empty while it does not hold the store
        self._is_taken = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, name="lease", daemon=True)

    def __enter__(self) -> Self:
        while not self._acquire():
            holder = read_lease(self.store)
            if holder is None:
                continue  # it was released in this moment
            if not self.force or _is_gc(holder):
                raise _held_by(self.store, holder)
            break
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * _HEARTBEAT_S)  # a heartbeat may wait for a server that hangs
        with suppress(ClipmillError, OSError), without_waiting():  # the lease then expires by itself
            if self._written and self._is_own(self._read()):
                self.store.remove(LEASE_FILE)

    def check(self) -> None:
        """Raise StoreHeld if another run took the store, for example while this process was suspended."""
        found = self._read()
        if self._is_taken or not self._is_own(found):
            raise _held_by(self.store, parse_lease(found or b"") or {})

    def _acquire(self) -> bool:
        """Take the lease if no living run has it. Returns whether this run holds the store."""
        content = self._content()
        if self.store.create(LEASE_FILE, content):
            self._written = content
            return True
        found = self._read()
        if found is None:
            return False  # released in this moment
        if self._is_own(found):
            self._written = found
            return True
        if self._is_alive(found):
            return False
        content = self._content()
        if self.store.replace_if(LEASE_FILE, found, content):
            self._written = content
            return True
        return False

    def _is_alive(self, found: bytes) -> bool:
        """Whether the run that wrote a lease lives. An old lease may be that of a run in an outage."""
        lease = parse_lease(found)
        if lease is None or is_dead(lease):
            return False
        age_s = lease_age_s(self.store, lease)
        if age_s <= EXPIRES_S:
            return True
        if age_s > EXPIRES_S + lease["patience_s"]:
            return False  # it has given up
        end = time.monotonic() + _WATCHED_HEARTBEATS * _HEARTBEAT_S
        while time.monotonic() < end and not self._stop.wait(_HEARTBEAT_S / 2):
            if self._read() != found:
                return True
        return False

    def _send_heartbeats(self) -> None:
        while not self._is_lost() and not self._stop.wait(_HEARTBEAT_S):
            with suppress(ClipmillError, OSError), without_waiting():  # the next heartbeat may succeed
                if self._written:
                    self._beat()
                else:
                    self._acquire()

    def _beat(self) -> None:
        content = self._content()
        if self.store.replace_if(LEASE_FILE, self._written, content):
            self._written = content
            return
        found = self._read()
        if self._is_own(found):
            self._written = found or b""  # an earlier heartbeat, whose answer was lost
            return
        self._written, self._is_taken = b"", True
        lease = parse_lease(found or b"")
        if lease:
            _logger.warning(
                "the store %s was taken by run %s (process %s on %s), because no heartbeat of this run "
                "reached it; both go on, and some work is done twice",
                *(self.store.url, lease["run"], lease["pid"], lease["host"]),
            )

    def _is_lost(self) -> bool:
        """Whether this is `clipmill gc` and a run took the store: gc stops, and does not take it back."""
        return self._is_taken and self.run.startswith(GC_PREFIX)

    def _read(self) -> bytes | None:
        try:
            return self.store.read(LEASE_FILE)
        except FileNotFoundError:
            return None

    def _is_own(self, found: bytes | None) -> bool:
        lease = parse_lease(found or b"")
        return lease is not None and lease["run"] == self.run

    def _content(self) -> bytes:
        return json.dumps(lease_of_process(self.run, store_patience_s())).encode()


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
