"""Measures a run: how long each step kept workers busy, its speed, and the remaining time."""

import time
from dataclasses import asdict
from typing import Any

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.launch import work_folder
from pipeline.engine.task import NodeWork, Progress, WorkCounts
from pipeline.history.timings import EarlierTimings, earlier_timings
from pipeline.planning.plan import Step
from pipeline.progress.estimate import Estimate, StepSoFar, estimate_remaining
from pipeline.progress.rows_in_parts import RowsInParts
from pipeline.stage import Launch


class Stopwatch:
    """An observer that measures time. Between two calls it assumes that the running tasks did not change.

    Attributes:
        busy_s: Worker-seconds of each step.
        step_s: Seconds during which at least one task of a step ran, by step; it stops with the step.
        active_s: Seconds during which at least one task ran.
        work: How many rows each step processed.
        nodes: What each node of the cluster did.
        planned_s: Planned duration of the run in seconds, or None; see `PlannedTime`.
    """

    def __init__(self) -> None:
        self.busy_s: dict[str, float] = {}
        self.step_s: dict[str, float] = {}
        self.active_s = 0.0
        self.work: dict[str, WorkCounts] = {}
        self.planned_s: float | None = None
        self.nodes: dict[str, NodeWork] = {}
        self._part_s: dict[str, float] = {}  # worker-seconds without the first phases of surveys
        self._running: dict[str, tuple[float, str]] = {}
        self._start = self._last = time.monotonic()
        self._parts = RowsInParts()
        self._earlier: EarlierTimings | None = None

    def observe(self, schedule: Schedule) -> None:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        for name, (workers, phase) in self._running.items():
            self.busy_s[name] = self.busy_s.get(name, 0.0) + workers * seconds
            self.step_s[name] = self.step_s.get(name, 0.0) + seconds
            if phase in ("", "part"):
                self._part_s[name] = self._part_s.get(name, 0.0) + workers * seconds
        self.active_s += seconds if self._running else 0.0
        self._running = {name: (p.workers, p.phase) for name, p in schedule.steps.items() if p.tasks}
        self._parts.forget_finished(schedule)
        self.nodes = schedule.nodes
        self.work = {name: p.work for name, p in schedule.steps.items() if p.work != WorkCounts()}

    def read_journals(self, schedule: Schedule) -> None:
        """Count the rows of running parts that are finished. Call it before a display is updated."""
        self._parts.read(schedule)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def workers(self) -> float:
        """How many workers were busy at a time, on average, while any was."""
        return sum(self.busy_s.values()) / self.active_s if self.active_s else 1.0

    def to_json(self) -> dict[str, Any]:
        """Planned and active seconds, and by step worker-seconds, row counts, and waiting of its parts."""
        busy = {name: round(seconds, 3) for name, seconds in self.busy_s.items()}
        rows = {name: asdict(work) for name, work in self.work.items()}
        seconds = {name: row.pop("seconds") for name, row in rows.items()}
        parts = {
            name: {"seconds": {part: round(s, 3) for part, s in each.items()}, "waited_share": shares}
            for name, each in seconds.items()
            if (shares := {k: round(v, 3) for k, v in self.work[name].waited_shares.items()})
        }
        found = {"active_s": round(self.active_s, 3), "busy_s": busy, "rows": rows}
        if self.nodes:
            found["nodes"] = {name: asdict(work) for name, work in sorted(self.nodes.items())}
        planned = {} if self.planned_s is None else {"planned_s": round(self.planned_s, 3)}
        return found | planned | ({"overlap": parts} if parts else {})

    def rows_running(self, name: str) -> int:
        """Rows of the running parts of a step that are finished; see `read_journals`."""
        return self._parts.rows(name)

    def rows_per_s(self, name: str) -> float:
        """Rows that a step processed per second in which it ran; 0 before the first row."""
        seconds = self.step_s.get(name, 0.0)
        return self._processed(name) / seconds if seconds > 0 else 0.0

    def remaining(self, schedule: Schedule) -> Estimate:
        """The remaining time, from the rates so far and from earlier runs of the store."""
        if self._earlier is None:
            self._earlier = earlier_timings(schedule.plan)
        steps = [self._so_far(schedule, step, schedule.steps[step.name]) for step in schedule.plan]
        return estimate_remaining(steps, self.workers, self._earlier.row_s, self._earlier.rates)

    def _processed(self, name: str) -> int:
        done = self.work[name].processed if name in self.work else 0
        return done + self._parts.new_rows(name)

    def _so_far(self, schedule: Schedule, step: Step, progress: Progress) -> StepSoFar:
        counts = progress.row_counts
        is_survey, is_launch = step.kind == "survey", step.kind == "model"
        makes_rows = step.kind in ("source", "children", "model")
        parts = progress.parts or 0
        return StepSoFar(
            name=step.name,
            inputs=step.node.inputs,
            is_rule=step.kind == "drops",
            is_launch=is_launch,
            is_complete=progress.is_complete,
            rows_in=counts.rows_in,
            rows_out=counts.rows_out if makes_rows else counts.passed,
            rows_running=self.rows_running(step.name),
            share_before=progress.done_before / parts if parts else 0.0,
            processed=counts.rows_in if is_survey else self._processed(step.name),
            busy_s=(self._part_s if is_survey else self.busy_s).get(step.name, 0.0),
            parts_left=max(parts - len(progress.done), 1),
            share_done=launch_progress(schedule, step)[0] if is_launch and progress.running else 0.0,
        )


def launch_progress(schedule: Schedule, step: Step) -> tuple[float, str]:
    """What a running launch says about its progress; (0, "") if its files are not on this machine."""
    stage = step.node.work
    if not isinstance(stage, Launch):
        return 0.0, ""
    try:
        return stage.progress(work_folder(schedule.plan, step, create=False))
    except (OSError, ValueError, KeyError):  # a file that is being written
        return 0.0, ""
