"""Reads the lease file of a store: which living run holds the store, if any.

A run writes its lease again every few seconds. The age of the file is measured by the clock of the S3 server,
or on the machine of the run by a clock that is never set, so that clocks which differ or jump end no lease.
"""

import json
import os
import platform
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from manifests.store import Store

LEASE_FILE = "lease.json"
EXPIRES_S = 60.0  # seconds since the last heartbeat; a dead process of this machine is noticed at once
_FIELDS = {"run", "host", "pid"}
_DEFAULTS = {"machine": "", "uptime_s": 0.0, "started_s": 0.0, "patience_s": 0.0}  # not in earlier versions
_NUMBERS = ("pid", "uptime_s", "started_s", "patience_s")


def lease_of_process(run: str, patience_s: float) -> dict[str, Any]:
    """The lease that this process writes for a run.

    Its members: `run`; `host`, `pid` and `beat` (seconds since 1970), which tell people who holds the store;
    `machine`, a boot of a machine and a name space of process ids in it; `uptime_s` and `started_s`, the time
    of this heartbeat and the start of the process, in seconds since that boot; `patience_s`, how long the
    run waits for a store that does not answer.
    """
    return {
        "run": run,
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "beat": time.time(),
        "uptime_s": time.monotonic(),
        "started_s": _started_s(os.getpid()),
        "patience_s": patience_s,
    }


def lease_holder(store: Store) -> Mapping[str, Any] | None:
    """The run that holds a store, or None if no living run does. `age_s` is the age of its last heartbeat."""
    lease = read_lease(store)
    if lease is None or is_dead(lease):
        return None
    age_s = lease_age_s(store, lease)
    return {**lease, "age_s": age_s} if age_s <= EXPIRES_S else None


def read_lease(store: Store) -> Mapping[str, Any] | None:
    """The lease file as written, or None where there is no readable one."""
    try:
        return parse_lease(store.read(LEASE_FILE))
    except FileNotFoundError:
        return None


def parse_lease(text: bytes) -> Mapping[str, Any] | None:
    """The content of a lease file, or None if it is not readable."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    lease = {**_DEFAULTS, **read} if isinstance(read, dict) else {}
    are_numbers = all(type(lease.get(name)) in (int, float) for name in _NUMBERS)
    return lease if lease.keys() >= _FIELDS and are_numbers else None


def is_dead(lease: Mapping[str, Any]) -> bool:
    """Whether the process of a lease has certainly ended: it ran on this machine."""
    if lease["machine"] != _machine():
        return False
    try:
        started_s = _started_s(lease["pid"])
        return abs(started_s - float(lease["started_s"])) > 1  # another process has this number now
    except (psutil.NoSuchProcess, ValueError, TypeError):  # or no process can have this id
        return True


def lease_age_s(store: Store, lease: Mapping[str, Any]) -> float:
    """Seconds since the last heartbeat of a lease."""
    if lease["machine"] == _machine():
        return time.monotonic() - float(lease["uptime_s"])
    try:
        return store.age_s(LEASE_FILE)
    except FileNotFoundError:
        return 0.0  # released, or taken, since it was read


def _machine() -> str:
    """Names the processes that share ids and a clock: this boot of this machine, or this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {platform.node()} {psutil.boot_time():.0f}"


def _started_s(pid: int) -> float:
    """When a process started, in seconds since the boot: both times move together when the clock is set."""
    return float(psutil.Process(pid).create_time() - psutil.boot_time())
