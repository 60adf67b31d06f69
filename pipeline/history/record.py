"""The record of a run: its request, plan and results, in runs/<run>/ of the store.

recipe.yaml   the DAG as YAML, which `clipmill run` accepts
request.json  the command, the knobs, the versions of Python and packages, the commit of the code
plan.json     the steps with their tables
funnel.json   rows in and out of each step, and the outcomes of the rows of each table
timings.json  start, end and state of the run; its planned seconds, if earlier runs timed its steps, and the
              seconds in which tasks ran; for each step the worker time in seconds and the numbers of rows
              that it processed, copied from earlier tables, read from a journal, or processed again;
              the share of its time that each part of a stage waited for the others; for each node its cores,
              its workers, and the tasks that it finished, with their seconds. Updated every 30 s
log.txt       the log of the run
events.jsonl  the events of the run, one JSON object per line; on an object store events-00001.jsonl, …
report.html   the report

Environment variables and credentials are never written.
"""

import json
import os
import platform
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from manifests.store import Store
from pipeline.dag import Dag
from pipeline.events.writer import EventWriter
from pipeline.history.funnel import Funnel
from pipeline.history.run_history import RUNS, RunHistory
from pipeline.recipes.redaction import redact_urls
from pipeline.recipes.request import RunRequest

_PACKAGES = (
    "clipmill", "pyarrow", "fsspec", "ray", "numpy", "av", "opencv-python", "scenedetect", "faiss-cpu",
    "torch", "torchvision", "safetensors", "webdataset", "open_clip_torch", "transformers",
)  # fmt: skip
RUNNING, DONE, FAILED, STOPPED, WAITS = "running", "done", "failed", "stopped", "waits"


def new_run() -> str:
    """A unique name for a run; names sort by the start time (UTC)."""
    now_ms = time.time_ns() // 1_000_000
    second = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(now_ms // 1000))
    return f"{second}-{now_ms % 1000:03d}-{secrets.token_hex(2)}"


class Record:
    """Writes the record of one run."""

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self.folder = f"{RUNS}/{run}"
        self._started = time.time()
        self._lines: list[str] = []
        self._state = self._error = ""
        self.events = EventWriter(store, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last event of the run, if it had begun."""
        if not self._state:
            return
        seconds = round(time.time() - self._started, 3)
        ended = {"run": self.run, "state": self._state, "error": self._error, "seconds": seconds}
        self.events.add("run_ended", ended)
        self.events.write()

    def begin(self, dag: Dag, history: RunHistory, request: RunRequest) -> None:
        """Write the request, the recipe and the plan, before the run starts."""
        from pipeline.recipes.yaml_text import to_yaml

        content = {**request.to_record(), **_versions(), "commit": _commit(Path(request.recipe))}
        self.store.create(f"{self.folder}/request.json", _json(content))
        self.store.create(
            f"{self.folder}/recipe.yaml", redact_urls(to_yaml(dag, redact_secrets=True)).encode()
        )
        self.store.create(f"{self.folder}/plan.json", history.json_bytes())
        self._timings(RUNNING, {}, "")
        self._state = FAILED  # unless `end` says how the run ended
        recipe = redact_urls(request.recipe)
        process = {"host": socket.gethostname(), "pid": os.getpid()}
        self.events.add("run_started", {"run": self.run, "dag": dag.name, "recipe": recipe, **process})
        self.events.write()

    def log(self, line: str) -> None:
        """Add a line to log.txt."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._lines.append(f"{stamp} {redact_urls(line)}\n")
        self.store.replace(f"{self.folder}/log.txt", "".join(self._lines).encode())

    def warn(self, text: str) -> None:
        """Add a warning to the log and to the events."""
        line = "; ".join(line.strip() for line in text.splitlines())
        self.log(f"warning: {line}")
        self.events.add("warning", {"text": redact_urls(line)})

    def update(self, spent: Mapping[str, Any]) -> None:
        """Write the timings of a run that goes on, which `clipmill status` shows."""
        self._timings(RUNNING, spent, "")

    def end(self, state: str, funnel: Funnel | None, spent: Mapping[str, Any], error: str = "") -> None:
        """Write the funnel, the timings and the final state."""
        if funnel:
            self.store.replace(f"{self.folder}/funnel.json", funnel.json_bytes())
        self._timings(state, spent, error)
        self._state, self._error = state, redact_urls(error)
        self.log(f"{state}{f': {error}' if error else ''}")

    def _timings(self, state: str, spent: Mapping[str, Any], error: str) -> None:
        now = time.time()
        timings = {
            "state": state,
            "error": redact_urls(error),
            "started": _stamp(self._started),
            "ended": None if state == RUNNING else _stamp(now),
            "wall_s": round(now - self._started, 3),
            **spent,
        }
        self.store.replace(f"{self.folder}/timings.json", _json(timings))


def read_json(store: Store, run: str, name: str) -> dict[str, Any]:
    """Read one of the JSON files of a run; {} if it does not exist."""
    try:
        content = json.loads(store.read(f"{RUNS}/{run}/{name}"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _versions() -> dict[str, Any]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return {"python": platform.python_version(), "system": system, "packages": versions}


def _commit(recipe: Path) -> str:
    """The commit of the recipe's git repository, with "+" if tracked files changed; "" if there is none."""
    folder = recipe.resolve().parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if head and _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
