"""A stopwatch on a run: how long each step kept workers busy, how fast it goes, and how long is left."""

import time
from dataclasses import asdict
from typing import Any

from pipeline.engine.schedule import Progress, Schedule
from pipeline.engine.task import Effort


class Stopwatch:
    """A watch that measures. Between two looks, workers are taken to do what they did at the first.

    Attributes:
        busy_s: worker-seconds of each step.
        effort: rows of work of each step.
    """

    def __init__(self) -> None:
        self.busy_s: dict[str, float] = {}
        self.effort: dict[str, Effort] = {}
        self._busy: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._start = self._seen = time.monotonic()

    def look(self, schedule: Schedule) -> None:
        now = time.monotonic()
        for name, workers in self._busy.items():
            self.busy_s[name] = self.busy_s.get(name, 0.0) + workers * (now - self._seen)
        self._busy = {name: p.busy for name, p in schedule.steps.items() if p.busy}
        self._seen = now
        for name in self._busy:
            self._began.setdefault(name, now)
        self.effort = {name: p.effort for name, p in schedule.steps.items() if p.effort != Effort()}

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def spent(self) -> dict[str, Any]:
        """Seconds of work and rows of work, by step."""
        busy = {name: round(seconds, 3) for name, seconds in self.busy_s.items()}
        return {"busy_s": busy, "rows": {name: asdict(effort) for name, effort in self.effort.items()}}

    def rows_per_s(self, name: str) -> float:
        """Rows that a step has worked on, per second since it began; 0 before that."""
        spent = self._seen - self._began.get(name, self._seen)
        return self.effort[name].worked / spent if spent > 0 and name in self.effort else 0.0

    def left_s(self, schedule: Schedule) -> float | None:
        """Seconds left if the parts to come cost what parts cost so far; None while that is not known."""
        made = {name: len(p.done) - p.found for name, p in schedule.steps.items()}
        cost = {name: self.busy_s.get(name, 0.0) / count for name, count in made.items() if count > 0}
        left = {name: _parts_left(p) for name, p in schedule.steps.items()}
        if not cost or None in left.values():
            return None
        usual = sum(cost.values()) / len(cost)
        work = sum(count * cost.get(name, usual) for name, count in left.items() if count)
        workers = sum(self.busy_s.values()) / max(self._seen - self._start, 1e-9)
        return work / max(workers, 1e-9)


def _parts_left(progress: Progress) -> int | None:
    if progress.whole:
        return 0
    return None if progress.parts is None else progress.parts - len(progress.done)
