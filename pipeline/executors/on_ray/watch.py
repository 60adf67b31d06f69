"""Looks whether the processes of Ray live on which the driver depends."""

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import psutil
import ray

from pipeline.errors import ClusterLost

_HEARTBEAT_S = 5.0  # seconds between two connections to the GCS of a remote cluster
_RAY_WAITS_S = 60.0  # seconds after which Ray ends a driver that does not reach the GCS
_RAY_SETTING = "RAY_gcs_rpc_server_reconnect_timeout_s"  # the variable that changes it
_MARGIN_S = 20.0  # seconds before that at which the run ends instead, with a summary
_GCS = "the GCS"
_START_GRACE_S = 5.0  # seconds in which Ray may give up a start itself, after it has ended its processes
_REMEDY = (
    "run the same command again: it continues where this run ended. If it happens again, check that enough "
    "memory is free: the kernel ends processes when memory is full (see `dmesg`)"
)


def local_watch() -> "Watch":
    """Watch the GCS and the raylet that this process has started."""
    return Watch(own_processes())


def own_processes() -> dict[str, psutil.Process]:
    """The GCS and the raylet that this process has started, as messages call them."""
    names, found = {"gcs_server": _GCS, "raylet": "the raylet"}, {}
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if process.name() in names:
                found[names[process.name()]] = process
    return found


def remote_watch() -> "Watch":
    """Watch the raylet of this machine, and send heartbeats to the GCS of the cluster."""
    context = ray.get_runtime_context()
    own: dict[str, Any] = next((node for node in ray.nodes() if node["NodeID"] == context.get_node_id()), {})
    raylet = _raylet(str(own.get("RayletSocketName", "")))
    return Watch({"the raylet of this machine": raylet} if raylet else {}, Heartbeat(context.gcs_address))


class Watch:
    """Says which process has died. The processes are named as a message calls them."""

    def __init__(self, processes: dict[str, psutil.Process], heartbeat: "Heartbeat | None" = None) -> None:
        self.processes, self.heartbeat = processes, heartbeat
        self._stopped = False

    def check(self) -> None:
        """Check that all live.

        Raises:
            ClusterLost: a process has died, or the GCS has not answered for too long.
        """
        what = self._lost()
        if what and not self._stopped:
            raise ClusterLost(f"Ray has ended: {what}; finished parts and rows are kept", remedy=_REMEDY)

    def stop(self) -> None:
        """Watch no longer: the processes may end."""
        self._stopped = True
        if self.heartbeat:
            self.heartbeat.stop()

    def _lost(self) -> str:
        for name, process in self.processes.items():
            if not _lives(process):
                return f"{name} (process {process.pid}) has died"
        return self.heartbeat.lost() if self.heartbeat else ""


class StartWatch(Watch):
    """Watches the GCS that this process starts, while `ray.init` waits for it.

    If it dies, `ray.init` waits for a minute, and then Ray ends this process without a message. A raylet that
    dies then, as on a busy machine, makes `ray.init` raise an error, and Ray is started again.
    """

    def __init__(self) -> None:
        super().__init__({})
        self._lost_since: float | None = None

    def check(self) -> None:
        """See `Watch.check`."""
        self.processes |= {name: found for name, found in own_processes().items() if name == _GCS}
        if not self._lost():
            self._lost_since = None
            return
        self._lost_since = self._lost_since or time.monotonic()
        if time.monotonic() - self._lost_since > _START_GRACE_S:
            super().check()

    def forget(self) -> None:
        """Forget the processes of a start that has failed."""
        self.processes, self._lost_since = {}, None


class Heartbeat:
    """Connects to an address again and again, in a thread."""

    def __init__(self, address: str, every_s: float = _HEARTBEAT_S) -> None:
        host, _, port = address.rpartition(":")
        self.address, self.every_s = (host.strip("[]"), int(port)), every_s
        waits_s = float(os.environ.get(_RAY_SETTING, _RAY_WAITS_S))
        self.patience_s = max(waits_s - _MARGIN_S, waits_s / 2)
        self._failing_since: float | None = None
        self._stop = threading.Event()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def lost(self) -> str:
        since = self._failing_since
        if since is None or time.monotonic() - since < self.patience_s:
            return ""
        host, port = self.address
        return f"the GCS at {host}:{port} has not answered for {time.monotonic() - since:.0f} s"

    def stop(self) -> None:
        self._stop.set()

    def _beat(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                socket.create_connection(self.address, timeout=self.every_s).close()
                self._failing_since = None
            except OSError:
                self._failing_since = self._failing_since or time.monotonic()


def _raylet(socket_name: str) -> psutil.Process | None:
    """The raylet with this socket, if it is visible from here: a container shows only its own processes."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "raylet" and any(socket_name in word for word in process.cmdline()):
                return process
    return None


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
