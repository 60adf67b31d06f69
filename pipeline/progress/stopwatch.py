"""Measures a run: how long each step kept workers busy, its speed, and the remaining time."""

import time
from dataclasses import asdict
from typing import Any

from pipeline.engine.schedule import Progress, Schedule
from pipeline.engine.task import WorkCounts


class Stopwatch:
    """An observer that measures time. Between two calls it assumes that the running tasks did not change.

    Attributes:
        busy_s: Worker-seconds of each step.
        work: How many rows each step processed.
    """

    def __init__(self) -> None:
        self.busy_s: dict[str, float] = {}
        self.work: dict[str, WorkCounts] = {}
        self._running: dict[str, int] = {}
        self._started_at: dict[str, float] = {}
        self._start = self._last = time.monotonic()

    def observe(self, schedule: Schedule) -> None:
        now = time.monotonic()
        for name, tasks in self._running.items():
            self.busy_s[name] = self.busy_s.get(name, 0.0) + tasks * (now - self._last)
        self._running = {name: p.running for name, p in schedule.steps.items() if p.running}
        self._last = now
        for name in self._running:
            self._started_at.setdefault(name, now)
        self.work = {name: p.work for name, p in schedule.steps.items() if p.work != WorkCounts()}

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def to_json(self) -> dict[str, Any]:
        """Worker-seconds, row counts, and what parts of a stage waited for each other, by step."""
        busy = {name: round(seconds, 3) for name, seconds in self.busy_s.items()}
        rows = {name: asdict(work) for name, work in self.work.items()}
        seconds = {name: row.pop("seconds") for name, row in rows.items()}
        parts = {
            name: {"seconds": {part: round(s, 3) for part, s in each.items()}, "waited_share": shares}
            for name, each in seconds.items()
            if (shares := {k: round(v, 3) for k, v in self.work[name].waited_shares.items()})
        }
        return {"busy_s": busy, "rows": rows} | ({"overlap": parts} if parts else {})

    def rows_per_s(self, name: str) -> float:
        """Rows that a step processed per second since its first task started; 0 before that."""
        elapsed_s = self._last - self._started_at.get(name, self._last)
        return self.work[name].processed / elapsed_s if elapsed_s > 0 and name in self.work else 0.0

    def remaining_s(self, schedule: Schedule) -> float | None:
        """Remaining seconds, if the remaining parts take as long as the finished ones; None if unknown."""
        done = {name: len(p.done) - p.done_before for name, p in schedule.steps.items()}
        part_s = {name: self.busy_s.get(name, 0.0) / count for name, count in done.items() if count > 0}
        remaining = {name: _remaining_parts(p) for name, p in schedule.steps.items()}
        if not part_s or None in remaining.values():
            return None
        mean_s = sum(part_s.values()) / len(part_s)
        work_s = sum(count * part_s.get(name, mean_s) for name, count in remaining.items() if count)
        workers = sum(self.busy_s.values()) / max(self._last - self._start, 1e-9)
        return work_s / max(workers, 1e-9)


def _remaining_parts(progress: Progress) -> int | None:
    if progress.is_complete:
        return 0
    return None if progress.parts is None else progress.parts - len(progress.done)
