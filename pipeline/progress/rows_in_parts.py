"""Counts the rows that the running tasks have finished or listed, from the journals of their parts.

The journals of workers on other machines are not visible here: their rows count when the part is finished.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from manifests.table import part_name
from pipeline.engine.journal import parse_line
from pipeline.engine.schedule import Schedule

_MAKING_PARTS = ("part", "join", "rows")  # phases of tasks


@dataclass
class _OpenPart:
    """The rows that the journal of one part names as finished, or how many a source has listed."""

    offsets: dict[Path, int] = field(default_factory=dict)
    is_this_run: dict[Path, bool] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    new: set[str] = field(default_factory=set)
    listed: int = 0

    def read(self, folder: Path, run: str) -> None:
        """Read the lines that were added to the journal."""
        for file in folder.glob("*.jsonl"):
            with suppress(FileNotFoundError):  # the part was committed in the meantime
                self._read_file(file, run)

    def _read_file(self, file: Path, run: str) -> None:
        with file.open("rb") as opened:
            opened.seek(self.offsets.get(file, 0))
            data = opened.read()
        end = data.rfind(b"\n") + 1
        self.offsets[file] = self.offsets.get(file, 0) + end
        for line in data[:end].splitlines():
            entry = parse_line(line) or {}
            if "run" in entry:
                self.is_this_run[file] = entry["run"] == run
            self.listed = entry.get("listed", self.listed)
            finished = {*entry.get("results", ()), *entry.get("finished", ())}
            self.rows |= finished
            if self.is_this_run.get(file):
                self.new |= finished


class RowsInParts:
    """Counts the finished rows of the parts that running tasks make."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], _OpenPart] = {}

    def forget_finished(self, schedule: Schedule) -> None:
        """Forget the parts that are finished: their rows are in the row counts of the step."""
        tasks = (task for progress in schedule.steps.values() for task in progress.tasks)
        running = {(task.step, task.number) for task in tasks if task.phase in _MAKING_PARTS}
        self._parts = {key: self._parts.get(key, _OpenPart()) for key in running}

    def read(self, schedule: Schedule) -> None:
        """Read what was added to the journals of the running parts."""
        self.forget_finished(schedule)
        plan = schedule.plan
        for (name, number), part in self._parts.items():
            path = f"{plan[name].folder}/{part_name(number)}"
            part.read(plan.store.scratch(path, create=False), plan.run)

    def rows(self, name: str) -> int:
        """Finished rows of the running parts of a step."""
        return sum(len(part.rows) + part.listed for (step, _), part in self._parts.items() if step == name)

    def new_rows(self, name: str) -> int:
        """Those of them that this run has processed."""
        return sum(len(part.new) for (step, _), part in self._parts.items() if step == name)
