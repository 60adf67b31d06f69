"""A part's journal records which rows were started and finished, so that a kill costs few rows.

Each attempt at a part appends JSON lines to a file of its own. A last line that was cut off by a kill
is ignored. If an earlier attempt of the same run started a row and did not finish it, its worker
crashed on that row: within a run, a part is only assigned again after a crash.
"""

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import disk_full_error
from pipeline.engine.batches import watchdog
from pipeline.row_json import from_json, to_json

Record = dict[str, Any]
_KINDS: dict[str, type] = {"started": list, "finished": list, "results": dict}  # of the values of a line


@dataclass
class RowResult:
    """The result of a stage for one row: its new records (one per child), or why the row is rejected.

    Attributes:
        records: The new records.
        kind: "" for a result; "reject", "error" or "crash" for a rejected row.
        reason: Why the row is rejected.
        detail: Where an error was raised.
    """

    records: list[Record] = field(default_factory=list)
    kind: str = ""
    reason: str = ""
    detail: str = ""

    def to_json(self) -> Record:
        """The result as plain JSON."""
        return {**vars(self), "records": [to_json(record) for record in self.records]}

    @classmethod
    def from_json(cls, plain: Record) -> "RowResult":
        """The result that `to_json` returned."""
        return cls(**{**plain, "records": [from_json(record) for record in plain["records"]]})


class Journal:
    """The journal of one part.

    Attributes:
        results: Results of rows that earlier attempts finished, in this run or another, by row id.
        crashes: How often a worker of this run crashed on a row, by row id.
        hung: Where the stage was when the watchdog ended its worker, for the last of these crashes.
        started: How many rows this attempt started.
        restarted: How many of these an earlier attempt had started and not finished.
    """

    def __init__(
        self, folder: Path, run: str, *, save_results: bool = True, row_timeout_s: float = 0.0
    ) -> None:
        """Open the journal of a part.

        Args:
            folder: The folder of its files.
            run: Name of the run.
            save_results: If False, only row ids are saved: computing again may cost less than reading.
            row_timeout_s: Seconds after which a row that is not finished ends this process; 0: never.
        """
        self.folder, self._save_results, self._row_timeout_s = folder, save_results, row_timeout_s
        self.results: dict[str, RowResult] = {}
        self.crashes: Counter[str] = Counter()
        self.hung: dict[str, str] = {}
        self.started = self.restarted = 0
        self._unfinished: set[str] = set()
        for file in sorted(folder.glob("*.jsonl")):
            with suppress(FileNotFoundError):  # another driver has committed the part in the meantime
                self._replay(file, run)
        self._file = _new_file(folder)
        self._write({"run": run})

    def start(self, ids: Sequence[str]) -> None:
        """Record that processing of these rows starts."""
        self.started += len(ids)
        self.restarted += len(self._unfinished.intersection(ids))
        self._write({"started": list(ids)})
        if self._row_timeout_s and ids:
            watchdog.begin(self._row_timeout_s * len(ids), self._file)

    def requeue(self, row: str) -> None:
        """Record that a started row is no longer being processed, although it has no result yet."""
        self.started -= 1
        self.restarted -= row in self._unfinished
        watchdog.end()
        self._write({"requeued": row})

    def finish(self, results: Mapping[str, RowResult]) -> None:
        """Record the results of these rows."""
        watchdog.end()
        if self._save_results:
            self._write({"results": {row: result.to_json() for row, result in results.items()}})
        else:
            self._write({"finished": list(results)})

    def close(self, *, delete: bool) -> None:
        """Stop writing. `delete` removes the journal, once its part is committed."""
        watchdog.end()
        os.close(self._file)
        if delete:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, line: Record) -> None:
        _append(self._file, self.folder, line)

    def _replay(self, file: Path, run: str) -> None:
        started: set[str] = set()
        same_run = False
        for line in _lines(file):
            same_run = same_run or line.get("run") == run
            try:
                found = {row: RowResult.from_json(plain) for row, plain in line.get("results", {}).items()}
                started.update(line.get("started", ()))
                started.discard(line.get("requeued", ""))
                started.difference_update([*line.get("finished", ()), *found])
            except (AttributeError, KeyError, TypeError, ValueError):
                break  # of another version, or damaged: its rows are processed again
            self.results.update(found)
        self._unfinished |= started
        if same_run:
            self.crashes.update(started)
            where = watchdog.where_it_hung(file.read_bytes())
            if where is not None:
                self.hung.update(dict.fromkeys(started, where))


@contextmanager
def listed_rows(folder: Path, run: str) -> Iterator[Callable[[int], None]]:
    """A journal that says how many rows a source has listed: call the function with their number."""
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed
    file = _new_file(folder)

    def write(rows: int) -> None:
        _append(file, folder, {"run": run, "listed": rows})

    try:
        yield write
    finally:
        os.close(file)
        shutil.rmtree(folder, ignore_errors=True)


def finished_rows(folder: Path) -> frozenset[str]:
    """Return the ids of the rows whose results the journal of a part holds. Writes nothing."""
    found: set[str] = set()
    for file in folder.glob("*.jsonl"):
        with suppress(FileNotFoundError):
            found.update(row for line in _lines(file) for row in line.get("results", ()))
    return frozenset(found)


def _new_file(folder: Path) -> int:
    """Open a new file; try again if another driver commits the part and deletes the folder meanwhile."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return os.open(folder / f"{uuid.uuid4().hex}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def _append(file: int, folder: Path, line: Record) -> None:
    """Append a line to a file in a folder."""
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise disk_full_error(error, str(folder)) from error


def parse_line(line: bytes) -> Record | None:
    """The content of a line; None at the end, and for a line that was cut off when the worker was killed."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    is_valid = all(isinstance(record.get(name, kind()), kind) for name, kind in _KINDS.items())
    return record if is_valid else None


def _lines(file: Path) -> Iterator[Record]:
    for line in file.read_bytes().split(b"\n"):
        record = parse_line(line)
        if record is None:
            return
        yield record
