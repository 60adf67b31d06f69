"""Displays the progress of a run: a live table, text lines, or JSON lines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.engine.schedule import Progress, Schedule
from pipeline.executor import Observer
from pipeline.progress.stopwatch import Stopwatch

if TYPE_CHECKING:
    from rich.table import Table

Write = Callable[[str], None]
_LINES_S, _JSON_S, _LIVE_S = 10.0, 2.0, 0.25  # seconds between two updates


@contextmanager
def progress_display(mode: str = "") -> Iterator[Observer]:
    """An observer that displays progress.

    Args:
        mode: "live", "lines", "json" or "quiet". "" is "live" on a terminal, and "lines" elsewhere.
    """
    mode = mode or ("live" if sys.stderr.isatty() else "lines")
    if mode == "live":
        with _live() as display:
            yield display
    elif mode == "json":
        yield JsonProgress(lambda line: print(line, flush=True))
    else:
        yield LineProgress({"lines": _print_to_stderr, "quiet": _discard}[mode])


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
                busy_s = self.stopwatch.busy_s.get(name, 0.0)
                waits = schedule.steps[name].work.waited_shares
                waited = "".join(f", {part} waited {share:.0%}" for part, share in sorted(waits.items()))
                self.write(f"{name} done: {_rows(schedule, name)}, {busy_s:.1f} s of work{waited}")
        self._complete |= complete
        self._write_pauses(schedule.pauses.reasons())
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.every_s
            self.write(self._line(schedule))

    def _write_pauses(self, paused: Mapping[str, str]) -> None:
        for name, reason in paused.items():
            if name not in self._paused:
                self.write(f"{name} is paused and will be retried: {reason}")
        for name in self._paused:
            if name not in paused:
                self.write(f"{name} continues")
        self._paused = paused

    def _line(self, schedule: Schedule) -> str:
        ready = schedule.ready
        steps = [
            f"{name} {_parts(p)}, {p.running} running, {ready.get(name, 0)} ready, {_rows(schedule, name)}"
            f"{_rate(self.stopwatch.rows_per_s(name))}"
            for name, p in schedule.steps.items()
            if p.running or ready.get(name)
        ]
        return f"{_times(self.stopwatch, schedule)} | {' | '.join(steps)}"


class JsonProgress:
    """Writes one JSON object per line, every `every_s` seconds and at the end.

    event: "progress"
    elapsed_s, remaining_s: seconds since the start, and estimated seconds to the end (null: unknown)
    steps: for each step by name:
        parts, parts_done: number of parts (null: the source is not listed yet), and how many exist
        complete: whether all parts exist and the manifest is written
        running_tasks, ready_tasks: tasks that run now, and tasks that wait for a free worker
        paused: why the step waits for an external service, or ""
        rows_in, passed, dropped, rejected, rows_out: row counts of the parts of this run
        rows_per_s: rows processed per second since the first task of the step
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
        remaining_s = self.stopwatch.remaining_s(schedule)
        line = {
            "event": "progress",
            "elapsed_s": round(self.stopwatch.elapsed_s, 2),
            "remaining_s": None if remaining_s is None else round(remaining_s, 1),
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
            "rows_in": progress.row_counts.rows_in,
            "passed": progress.row_counts.passed,
            "dropped": progress.row_counts.dropped,
            "rejected": progress.row_counts.rejected,
            "rows_out": progress.row_counts.rows_out,
            "rows_per_s": round(self.stopwatch.rows_per_s(name), 3),
        }


class LiveProgress:
    """Shows a table on the terminal, and updates it about four times per second."""

    def __init__(self, show: "Callable[[Table], None]", height: int) -> None:
        self.show, self.height = show, height
        self.stopwatch = Stopwatch()
        self._next = 0.0

    def observe(self, schedule: Schedule) -> None:
        self.stopwatch.observe(schedule)
        if time.monotonic() >= self._next or schedule.is_finished:
            self._next = time.monotonic() + _LIVE_S
            self.show(self.table(schedule))

    def table(self, schedule: Schedule) -> "Table":
        """The table: every step, or only the unfinished ones if the terminal has too few lines."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        caption = _times(self.stopwatch, schedule)
        table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
        table.add_column("step", no_wrap=True)
        table.add_column("", width=12)
        for name in ("parts", "running", "ready", "rows", "dropped", "rejected", "rows/s"):
            table.add_column(name, justify="right", no_wrap=True)
        too_small, paused = len(schedule.steps) > self.height - 4, schedule.pauses.reasons()
        for name, p in schedule.steps.items():
            if too_small and p.is_complete:
                continue
            rate = self.stopwatch.rows_per_s(name)
            counts = (
                p.running,
                schedule.ready.get(name, 0),
                _rows_passed(schedule, name),
                p.row_counts.dropped,
                p.row_counts.rejected,
            )
            table.add_row(
                name,
                ProgressBar(total=p.parts or 1, completed=len(p.done), width=12),
                f"{_parts(p)} paused" if name in paused else _parts(p),
                *(f"{n:,}" if n else "·" for n in counts),
                f"{rate:.1f}" if rate else "·",
                style="dim" if p.is_complete else "bold" if p.running else "",
            )
        return table


@contextmanager
def _live() -> Iterator[LiveProgress]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False) as live:
        yield LiveProgress(lambda table: live.update(table, refresh=True), console.height)


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _discard(line: str) -> None:
    """Print nothing."""


def _parts(progress: Progress) -> str:
    phase = f" {progress.phase}" if progress.phase not in ("", "part") and not progress.is_complete else ""
    return f"{len(progress.done)}/{'?' if progress.parts is None else progress.parts}{phase}"


def _rows_passed(schedule: Schedule, name: str) -> int:
    """How many rows a step passes to the next steps."""
    row_counts = schedule.steps[name].row_counts
    makes_rows = schedule.plan[name].kind in ("source", "children", "model")
    return row_counts.rows_out if makes_rows else row_counts.passed


def _rows(schedule: Schedule, name: str) -> str:
    row_counts = schedule.steps[name].row_counts
    removed = [f"{row_counts.dropped:,} dropped"] if row_counts.dropped else []
    removed += [f"{row_counts.rejected:,} rejected"] if row_counts.rejected else []
    return ", ".join([f"{_rows_passed(schedule, name):,} rows", *removed])


def _rate(rows_per_s: float) -> str:
    return f", {rows_per_s:.1f} rows/s" if rows_per_s else ""


def _times(stopwatch: Stopwatch, schedule: Schedule) -> str:
    remaining_s = stopwatch.remaining_s(schedule)
    remaining = "" if remaining_s is None else f", about {_duration(remaining_s)} left"
    return f"{_duration(stopwatch.elapsed_s)}{remaining}"


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
