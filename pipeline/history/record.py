"""The record of a run: what was asked, planned and done, in runs/<run>/ of the store.

recipe.yaml   the DAG as text, which `clipmill run` accepts
asked.json    the command, the knobs, the versions of Python and packages, the commit of the code
plan.json     the steps with their tables
funnel.json   rows in and out of each step, and the account of each table of rows
timings.json  when it ran, how it ended, how long each step kept workers busy, and how many rows each
              worked on, copied from earlier tables, took over from a journal, or did again
log.txt       what happened, line by line
report.html   all of it for people

No environment variable and no credential is ever written.
"""

import json
import platform
import secrets
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from manifests.store import Store
from pipeline.dag import Dag
from pipeline.history.funnel import Funnel
from pipeline.history.run_history import RUNS, Past
from pipeline.recipes.request import RunRequest, safe

_PACKAGES = (
    "clipmill", "pyarrow", "fsspec", "ray", "numpy", "av", "opencv-python", "scenedetect", "faiss-cpu",
    "torch", "torchvision", "safetensors", "webdataset", "open_clip_torch", "transformers",
)  # fmt: skip
RUNNING, DONE, FAILED, STOPPED, WAITS = "running", "done", "failed", "stopped", "waits"


def new_run() -> str:
    """A name for a run that sorts by its start (UTC) and that no other run has."""
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

    def begin(self, dag: Dag, past: Past, asked: RunRequest) -> None:
        """Note what was asked and what is planned, before anything is done."""
        from pipeline.recipes.yaml_text import to_yaml

        said = {**asked.plain(), **_versions(), "commit": _commit(Path(asked.recipe))}
        self.store.create(f"{self.folder}/asked.json", _json(said))
        self.store.create(f"{self.folder}/recipe.yaml", safe(to_yaml(dag, hide=True)).encode())
        self.store.create(f"{self.folder}/plan.json", past.text())
        self._timings(RUNNING, {}, "")

    def log(self, line: str) -> None:
        """Add a line to log.txt."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._lines.append(f"{stamp} {safe(line)}\n")
        self.store.replace(f"{self.folder}/log.txt", "".join(self._lines).encode())

    def end(self, state: str, funnel: Funnel | None, spent: Mapping[str, Any], error: str = "") -> None:
        """Note how it ended."""
        if funnel:
            self.store.replace(f"{self.folder}/funnel.json", funnel.text())
        self._timings(state, spent, error)
        self.log(f"{state}{f': {error}' if error else ''}")

    def _timings(self, state: str, spent: Mapping[str, Any], error: str) -> None:
        now = time.time()
        said = {
            "state": state,
            "error": safe(error),
            "started": _stamp(self._started),
            "ended": None if state == RUNNING else _stamp(now),
            "wall_s": round(now - self._started, 3),
            **spent,
        }
        self.store.replace(f"{self.folder}/timings.json", _json(said))


def read_json(store: Store, run: str, name: str) -> dict[str, Any]:
    """One of the JSON files of a run; {} where it is not there."""
    try:
        found: dict[str, Any] = json.loads(store.read(f"{RUNS}/{run}/{name}"))
        return found
    except (FileNotFoundError, ValueError):
        return {}


def _versions() -> dict[str, Any]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return {"python": platform.python_version(), "system": system, "packages": found}


def _commit(recipe: Path) -> str:
    """The commit of the code that the recipe belongs to, with "+" where files were changed since."""
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


def _json(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, indent=1, ensure_ascii=False).encode()
