"""A run in a process of its own, of which parts are killed."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from manifests.stores import open_store

# What can be killed, with the exit codes that a run then has. 0: it was done in this moment, or started Ray
# again; of a worker, only another one starts.
EXIT_CODES: dict[str, tuple[int, ...]] = {
    "driver": (-signal.SIGKILL, 0),
    "worker": (0,),
    "raylet": (1, 0),
    "gcs": (1, 0),
    "everything": (-signal.SIGKILL, 0),
    "group": (128 + signal.SIGTERM, 0),
}
_POLL_S = 0.1  # seconds between two looks at the parts


class KilledRun:
    """Starts a run of a recipe in a store.

    Attributes:
        process: The driver.
        url: The store.
    """

    def __init__(self, recipe: str, url: str, log: Path, *options: str) -> None:
        self.url, self._log = url, log
        self._parts = self.parts()
        self._offset = log.stat().st_size if log.exists() else 0
        command = [sys.executable, "-m", "pipeline.cli", "run", recipe, f"store={url}", *options]
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        self._started_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def output(self) -> str:
        """What the run has printed."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            return file.read().decode(errors="replace")

    def parts(self) -> int:
        """How many parts of tables the store has."""
        return sum("/part-" in name for name in open_store(self.url).walk())

    def wait_for_new_part(self) -> float | None:
        """Wait until there are more parts than at the last call. Returns for how long the run went on."""
        while self.process.poll() is None:
            if (found := self.parts()) > self._parts:
                self._parts = found
                return self.elapsed_s
            time.sleep(_POLL_S)
        return None

    def sleep(self, seconds: float) -> bool:
        """Wait. Returns whether the run still goes on."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is None

    def wait(self, seconds: float) -> int | None:
        """The exit code; None if the run has not ended in time, and is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(self.all_processes(), "everything")
            return None

    def all_processes(self) -> list[psutil.Process]:
        """The driver, and all processes of Ray."""
        with suppress(psutil.NoSuchProcess):
            driver = psutil.Process(self.process.pid)
            return [driver, *driver.children(recursive=True)]
        return []

    def processes(self, target: str, rng: random.Random) -> list[psutil.Process]:
        """The processes of a target; none if it does not run now."""
        found = self.all_processes()
        if target in ("driver", "group"):
            return found[:1]
        if target == "everything":
            return found
        if target == "worker":
            workers = [process for process in found if "ray::Actor" in _command(process)]
            return [rng.choice(workers)] if workers else []
        name = {"raylet": "raylet", "gcs": "gcs_server"}[target]
        return [process for process in found if _name(process) == name]

    def kill(self, processes: list[psutil.Process], target: str) -> None:
        """Send SIGKILL to processes, or SIGTERM to the process group of the driver."""
        if target == "group":
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            return
        self._parts = self.parts()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def table_digests(url: str) -> dict[str, str]:
    """SHA-256 of every file of a table, and of what remained of the lease."""
    store = open_store(url)
    names = (name for name in store.walk() if not name.startswith("runs/") and name != "store.json")
    return {
        name: hashlib.sha256(store.read(name)).hexdigest()
        for name in names
        if not any(part.startswith(".") for part in name.split("/"))
    }


def wait_for_ends(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended that can write to a store: all but the agents of Ray.

    Returns those that have not.
    """
    ends_s = time.monotonic() + seconds
    while True:
        alive = [p for p in processes if _lives(p) and not _name(p).endswith("Agent")]
        if not alive or time.monotonic() > ends_s:
            return alive
        time.sleep(_POLL_S)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name())
    return ""


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
