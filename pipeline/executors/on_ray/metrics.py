"""The metrics of a run for Prometheus, which Ray exports on each node; Ray puts `ray_` before the names."""

import time
from collections import Counter as Totals
from collections.abc import Mapping
from typing import Any

from pipeline.engine.schedule import Schedule

_EVERY_S = 2.0
_BOUNDARIES_S = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000]
_TAGS = ("dag", "run", "step")
_OUTCOMES = ("passed", "dropped", "rejected", "errors")
COUNTERS = {  # name without the prefix: meaning
    "rows": "Rows that a step decided, by outcome: passed, dropped, rejected, errors",
    "parts": "Parts that a step finished",
    "seconds": "Seconds for which workers ran tasks of a step",
    "written_bytes": "Bytes that a step wrote to the store",
    "worker_deaths": "Worker processes of a step that died",
}
GAUGES = {
    "queued_tasks": "Tasks of a step that wait for a worker",
    "running_tasks": "Tasks of a step that run",
    "remaining_parts": "Parts of a step that do not exist yet; a step whose source is not listed has none",
    "paused": "1 while a step waits for a service that is not available",
}
HISTOGRAM = {"part_seconds": "Seconds for which a worker made a part"}


class Metrics:
    """Passes the counts of a run to Ray every two seconds.

    Args:
        schedule: The schedule of the run, to whose events it listens.
    """

    def __init__(self, schedule: Schedule) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        self.schedule = schedule
        self._totals: Totals[tuple[str, str, str]] = Totals()  # name, step, outcome
        self._part_s: list[tuple[str, float]] = []
        self._counters = {
            name: Counter(f"clipmill_{name}_total", text, (*_TAGS, "outcome") if name == "rows" else _TAGS)
            for name, text in COUNTERS.items()
        }
        self._gauges = {name: Gauge(f"clipmill_{name}", text, _TAGS) for name, text in GAUGES.items()}
        ((name, text),) = HISTOGRAM.items()
        self._histogram = Histogram(f"clipmill_{name}", text, _BOUNDARIES_S, _TAGS)
        self._open = {name for name, progress in schedule.steps.items() if not progress.is_complete}
        self._next_s = 0.0
        schedule.events.listeners.append(self._listen)

    def observe(self) -> None:
        """Pass on what changed, if the last time was long enough ago."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _EVERY_S
            self.report()

    def report(self) -> None:
        """Pass on what changed."""
        self._count_made_rows()
        for (name, step, outcome), value in self._totals.items():
            tags = self._tags(step) | ({"outcome": outcome} if outcome else {})
            self._counters[name].inc(value, tags)
        for step, seconds in self._part_s:
            self._histogram.observe(seconds, self._tags(step))
        self._totals.clear()
        self._part_s.clear()
        paused, ready = self.schedule.pauses.reasons(), self.schedule.ready
        for step, progress in self.schedule.steps.items():
            left = 0 if progress.parts is None else progress.parts - len(progress.done)
            values = (ready.get(step, 0), progress.running, left, int(step in paused))
            for gauge, value in zip(self._gauges.values(), values, strict=True):
                gauge.set(value, self._tags(step))

    def _tags(self, step: str) -> dict[str, str]:
        plan = self.schedule.plan
        return {"dag": plan.dag, "run": plan.run, "step": step}

    def _listen(self, event: str, fields: Mapping[str, Any]) -> None:
        step = str(fields.get("step", ""))
        if event == "part_finished":
            self._totals["parts", step, ""] += 1
            for outcome in _OUTCOMES:
                if fields[outcome]:
                    self._totals["rows", step, outcome] += fields[outcome]
            if fields["seconds"] is not None:
                self._part_s.append((step, fields["seconds"]))
        elif event == "worker_died":
            self._totals["worker_deaths", step, ""] += 1
        if event in ("part_finished", "task_finished") and fields["seconds"] is not None:
            self._totals["seconds", step, ""] += fields["seconds"]
            self._totals["written_bytes", step, ""] += fields["bytes"]

    def _count_made_rows(self) -> None:
        """Count the rows of a source or of a model once they exist: no rows entered these steps."""
        for name in [name for name in self._open if self.schedule.steps[name].is_complete]:
            self._open.discard(name)
            if self.schedule.plan[name].kind in ("source", "model"):
                self._totals["rows", name, "passed"] += self.schedule.steps[name].row_counts.rows_out
                self._totals["parts", name, ""] += len(self.schedule.steps[name].done)
