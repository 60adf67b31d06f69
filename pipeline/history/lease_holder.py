"""Reads the lease file of a store: which living run holds the store, if any."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

import psutil

from manifests.store import Store

LEASE_FILE = "lease.json"
_EXPIRES_S = 60.0  # seconds since the last heartbeat; a dead process of this machine is noticed at once
_FIELDS = {"run", "host", "pid", "beat", "started"}


def lease_holder(store: Store) -> Mapping[str, Any] | None:
    """The run that holds a store (run, host, pid, beat), or None if no living run does."""
    lease = read_lease(store)
    if lease is None or time.time() - lease["beat"] > _EXPIRES_S:
        return None
    if lease["host"] == socket.gethostname():
        try:
            if abs(psutil.Process(lease["pid"]).create_time() - lease["started"]) > 1:
                return None  # another process has this number now
        except psutil.NoSuchProcess:
            return None
    return lease


def read_lease(store: Store) -> Mapping[str, Any] | None:
    """The lease file as written, or None where there is no readable one."""
    try:
        lease = json.loads(store.read(LEASE_FILE))
        return lease if lease.keys() >= _FIELDS else None
    except (FileNotFoundError, ValueError):
        return None
