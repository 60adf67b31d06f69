"""Progress as text lines and as JSON lines, for pipes and logs. A text line has fewer than 120 characters."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Progress
from pipeline.events.event import counts_of
from pipeline.history.formatting import format_duration, format_rows
from pipeline.history.funnel import MAX_CHARACTERS, wrap_line
from pipeline.progress.stopwatch import Stopwatch, launch_progress

Write = Callable[[str], None]
_LINES_S, _JSON_S = 10.0, 2.0  # seconds between two updates


class LineProgress:
    """Writes a text line every `every_s` seconds, and one for each step that is done."""

    def __init__(self, write: Write, every_s: float = _LINES_S) -> None:
        self.write, self.every_s = write, every_s
        self.stopwatch = Stopwatch()
        self._next = time.monotonic() + every_s
        self._complete: set[str] | None = None
        self._paused: Mapping[str, str] = {}

    def observe(self, schedule: Schedule) -> None:
        self.stopwatch.observe(schedule)
        complete = {name for name, progress in schedule.steps.items() if progress.is_complete}
        if self._complete is None:
            self._complete = complete
            self.write(f"{len(complete)} of {len(schedule.steps)} steps are done already")
        for name in schedule.steps:
            if name in complete - self._complete:
                self._write(self._done(schedule, name))
        self._complete |= complete
        self._write_pauses(schedule.pauses.reasons())
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.every_s
            self.stopwatch.read_journals(schedule)
            self._write(self._line(schedule))

    def _done(self, schedule: Schedule, name: str) -> str:
        """The line of a finished step, with its final time and rate."""
        seconds, rate = self.stopwatch.step_s.get(name, 0.0), self.stopwatch.rows_per_s(name)
        waits = schedule.steps[name].work.waited_shares
        waited = "".join(f", {part} waited {share:.0%}" for part, share in sorted(waits.items()))
        return f"{name} done: {_rows(schedule, name)} in {seconds:.1f} s{_rate(rate)}{waited}"

    def _write(self, line: str) -> None:
        """Write a line; what is too long is continued on the next line."""
        for part in wrap_line(line):
            self.write(part)

    def _write_pauses(self, paused: Mapping[str, str]) -> None:
        for name, reason in paused.items():
            if name not in self._paused:
                self._write(f"{name} is paused and will be retried: {reason}")
        for name in self._paused:
            if name not in paused:
                self._write(f"{name} continues")
        self._paused = paused

    def _line(self, schedule: Schedule) -> str:
        """The times, and as many of the steps that run as fit into the line."""
        steps = [name for name, p in schedule.steps.items() if p.running]
        line, shown = format_times(self.stopwatch, schedule), 0
        for left, name in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
            more = f" | and {left} more" if left else ""
            longer = f"{line} | {self._step(schedule, name)}"
            if len(longer + more) > MAX_CHARACTERS and shown:
                return f"{line} | and {left + 1} more"
            line, shown = longer, shown + 1
        return line

    def _step(self, schedule: Schedule, name: str) -> str:
        progress = schedule.steps[name]
        text = launch_progress(schedule, schedule.plan[name])[1]
        if text:
            return f"{name} {text}"
        rows = format_rows(rows_done(schedule, self.stopwatch, name))
        lost = _lost(progress)
        return ", ".join([f"{name} {format_parts(progress)}", rows, *lost]) + _rate(
            self.stopwatch.rows_per_s(name)
        )


class JsonProgress:
    """Writes one JSON object per line, every `every_s` seconds and at the end.

    event: "progress"
    elapsed_s, remaining_s: seconds since the start, and estimated seconds to the end (null: unknown)
    not_timed: names of the steps that are left and whose time is unknown; then the run takes longer
    steps: for each step by name:
        parts, parts_done: number of parts (null: the source is not listed yet), and how many exist
        complete: whether all parts exist and the manifest is written
        running_tasks, ready_tasks: tasks that run now, and tasks that wait for a free worker
        paused: why the step waits for an external service, or ""
        rows_in, passed, dropped, rejected, errors, rows_out: row counts of the parts of this run
        rows_running: finished rows of parts that are not finished
        rows_per_s: rows processed per second in which the step ran; it stays when the step is done
        seconds: for how long at least one task of the step ran
        text: what a training says: its step and loss, or ""
    """

    def __init__(self, write: Write, every_s: float = _JSON_S) -> None:
        self.write, self.every_s = write, every_s
        self.stopwatch = Stopwatch()
        self._next = 0.0

    def observe(self, schedule: Schedule) -> None:
        self.stopwatch.observe(schedule)
        if time.monotonic() < self._next and not schedule.is_finished:
            return
        self._next = time.monotonic() + self.every_s
        self.stopwatch.read_journals(schedule)
        left = self.stopwatch.remaining(schedule)
        known = left.seconds is not None and not left.not_timed
        line = {
            "event": "progress",
            "elapsed_s": round(self.stopwatch.elapsed_s, 2),
            "remaining_s": round(left.seconds or 0.0, 1) if known else None,
            "not_timed": left.not_timed,
            "steps": {name: self._step(schedule, name, p) for name, p in schedule.steps.items()},
        }
        self.write(json.dumps(line))

    def _step(self, schedule: Schedule, name: str, progress: Progress) -> dict[str, Any]:
        return {
            "parts": progress.parts,
            "parts_done": len(progress.done),
            "complete": progress.is_complete,
            "running_tasks": progress.running,
            "paused": schedule.pauses.reasons().get(name, ""),
            "ready_tasks": schedule.ready.get(name, 0),
            **counts_of(progress.row_counts),
            "rows_running": self.stopwatch.rows_running(name),
            "rows_per_s": round(self.stopwatch.rows_per_s(name), 3),
            "seconds": round(self.stopwatch.step_s.get(name, 0.0), 3),
            "text": launch_progress(schedule, schedule.plan[name])[1] if progress.running else "",
        }


def format_times(stopwatch: Stopwatch, schedule: Schedule) -> str:
    """The elapsed time, and the estimate of the remaining time if there is one."""
    estimate = stopwatch.remaining(schedule).text()
    elapsed = format_duration(stopwatch.elapsed_s)
    return f"{elapsed}, {estimate}" if estimate else elapsed


def format_rate(rows_per_s: float) -> str:
    """A rate with one decimal, and with two below 1 row per second."""
    return f"{rows_per_s:.1f}" if rows_per_s >= 1 else f"{rows_per_s:.2f}"


def format_parts(progress: Progress) -> str:
    """Finished and all parts, such as 3/16, and the phase of a survey."""
    phase = f" {progress.phase}" if progress.phase not in ("", "part") and not progress.is_complete else ""
    return f"{len(progress.done)}/{'?' if progress.parts is None else progress.parts}{phase}"


def rows_done(schedule: Schedule, stopwatch: Stopwatch, name: str) -> int:
    """How many rows a step has finished: those of finished parts, and the finished ones of running parts."""
    counts = schedule.steps[name].row_counts
    finished = counts.rows_in or counts.rows_out  # a source has no input
    return finished + stopwatch.rows_running(name)


def _rows(schedule: Schedule, name: str) -> str:
    """The rows that a finished step passed on, and those that it did not."""
    progress = schedule.steps[name]
    counts = progress.row_counts
    makes_rows = schedule.plan[name].kind in ("source", "children", "model")
    return ", ".join([format_rows(counts.rows_out if makes_rows else counts.passed), *_lost(progress)])


def _lost(progress: Progress) -> list[str]:
    counts = progress.row_counts
    errors = "error" if counts.errors == 1 else "errors"
    lost = {"dropped": counts.dropped, "rejected": counts.rejected - counts.errors, errors: counts.errors}
    return [f"{count:,} {name}" for name, count in lost.items() if count]


def _rate(rows_per_s: float) -> str:
    return f", {format_rate(rows_per_s)} rows/s" if rows_per_s else ""
