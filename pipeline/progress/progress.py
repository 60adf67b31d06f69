"""Progress: what a run shows while it goes on, to people, to logs and to machines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.engine.schedule import Progress, Schedule
from pipeline.executor import Watch
from pipeline.progress.stopwatch import Stopwatch

if TYPE_CHECKING:
    from rich.table import Table

Write = Callable[[str], None]
_LINES_S, _JSON_S, _LIVE_S = 10.0, 2.0, 0.25


@contextmanager
def watching(how: str = "") -> Iterator[Watch]:
    """A watch: "live", "lines", "json" or "quiet"; "" is live on a terminal and lines elsewhere."""
    how = how or ("live" if sys.stderr.isatty() else "lines")
    if how == "live":
        with _live() as watch:
            yield watch
    else:
        write = {"json": lambda line: print(line, flush=True), "lines": _say, "quiet": _nothing}[how]
        yield JsonLines(write) if how == "json" else Lines(write)


class Lines:
    """Plain lines: one every `every_s` seconds, and one for each step that is finished."""

    def __init__(self, write: Write, every_s: float = _LINES_S) -> None:
        self.write, self.every_s = write, every_s
        self.clock = Stopwatch()
        self._next = time.monotonic() + every_s
        self._told: set[str] | None = None
        self._paused: Mapping[str, str] = {}

    def look(self, schedule: Schedule) -> None:
        self.clock.look(schedule)
        whole = {name for name, progress in schedule.steps.items() if progress.whole}
        if self._told is None:
            self._told = whole
            self.write(f"{len(whole)} of {len(schedule.steps)} steps are done already")
        for name in schedule.steps:
            if name in whole - self._told:
                spent = self.clock.busy_s.get(name, 0.0)
                self.write(f"{name} done: {_rows(schedule, name)}, {spent:.1f} s of work")
        self._told |= whole
        self._tell_pauses(schedule.pauses.told())
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.every_s
            self.write(self._line(schedule))

    def _tell_pauses(self, paused: Mapping[str, str]) -> None:
        for name, reason in paused.items():
            if name not in self._paused:
                self.write(f"{name} pauses, and is tried again: {reason}")
        for name in self._paused:
            if name not in paused:
                self.write(f"{name} goes on")
        self._paused = paused

    def _line(self, schedule: Schedule) -> str:
        ready = schedule.waiting
        said = [
            f"{name} {_parts(p)}, {p.busy} busy, {ready.get(name, 0)} ready, {_rows(schedule, name)}"
            f"{_rate(self.clock.rows_per_s(name))}"
            for name, p in schedule.steps.items()
            if p.busy or ready.get(name)
        ]
        return f"{_clock(self.clock.elapsed_s)}{_left(self.clock.left_s(schedule))} | {' | '.join(said)}"


class JsonLines:
    """One JSON object a line, every two seconds and at the end."""

    def __init__(self, write: Write, every_s: float = _JSON_S) -> None:
        self.write, self.every_s = write, every_s
        self.clock = Stopwatch()
        self._next = 0.0

    def look(self, schedule: Schedule) -> None:
        self.clock.look(schedule)
        if time.monotonic() < self._next and not schedule.finished:
            return
        self._next = time.monotonic() + self.every_s
        left_s = self.clock.left_s(schedule)
        said = {
            "event": "progress",
            "elapsed_s": round(self.clock.elapsed_s, 2),
            "left_s": None if left_s is None else round(left_s, 1),
            "steps": {name: self._plain(schedule, name, p) for name, p in schedule.steps.items()},
        }
        self.write(json.dumps(said))

    def _plain(self, schedule: Schedule, name: str, progress: Progress) -> dict[str, Any]:
        return {
            "parts": progress.parts,
            "done": len(progress.done),
            "whole": progress.whole,
            "busy": progress.busy,
            "paused": schedule.pauses.told().get(name, ""),
            "ready": schedule.waiting.get(name, 0),
            "rows_in": progress.row_counts.rows_in,
            "passed": progress.row_counts.passed,
            "dropped": progress.row_counts.dropped,
            "rejected": progress.row_counts.rejected,
            "rows_out": progress.row_counts.rows_out,
            "rows_per_s": round(self.clock.rows_per_s(name), 3),
        }


class Live:
    """A table on the terminal, drawn anew about four times a second."""

    def __init__(self, show: "Callable[[Table], None]", height: int) -> None:
        self.show, self.height = show, height
        self.clock = Stopwatch()
        self._next = 0.0

    def look(self, schedule: Schedule) -> None:
        self.clock.look(schedule)
        if time.monotonic() >= self._next or schedule.finished:
            self._next = time.monotonic() + _LIVE_S
            self.show(self.table(schedule))

    def table(self, schedule: Schedule) -> "Table":
        """What is shown: every step, or those that are not finished where the screen is too small."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        left = self.clock.left_s(schedule)
        head = f"{_clock(self.clock.elapsed_s)}{_left(left)}"
        table = Table(box=None, pad_edge=False, caption=head, caption_justify="left")
        table.add_column("step", no_wrap=True)
        table.add_column("", width=12)
        for name in ("parts", "busy", "ready", "rows", "dropped", "rejected", "rows/s"):
            table.add_column(name, justify="right", no_wrap=True)
        small, paused = len(schedule.steps) > self.height - 4, schedule.pauses.told()
        for name, p in schedule.steps.items():
            if small and p.whole:
                continue
            rate = self.clock.rows_per_s(name)
            figures = (
                p.busy,
                schedule.waiting.get(name, 0),
                _out(schedule, name),
                p.row_counts.dropped,
                p.row_counts.rejected,
            )
            table.add_row(
                name,
                ProgressBar(total=p.parts or 1, completed=len(p.done), width=12),
                f"{_parts(p)} paused" if name in paused else _parts(p),
                *(f"{n:,}" if n else "·" for n in figures),
                f"{rate:.1f}" if rate else "·",
                style="dim" if p.whole else "bold" if p.busy else "",
            )
        return table


@contextmanager
def _live() -> Iterator[Live]:
    from rich.console import Console
    from rich.live import Live as Screen

    console = Console(stderr=True)
    with Screen(console=console, auto_refresh=False) as screen:
        yield Live(lambda table: screen.update(table, refresh=True), console.height)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _nothing(line: str) -> None:
    """Say nothing."""


def _parts(progress: Progress) -> str:
    phase = f" {progress.phase}" if progress.phase not in ("", "part") and not progress.whole else ""
    return f"{len(progress.done)}/{'?' if progress.parts is None else progress.parts}{phase}"


def _out(schedule: Schedule, name: str) -> int:
    """Rows that go on from a step."""
    row_counts = schedule.steps[name].row_counts
    return (
        row_counts.rows_out
        if schedule.plan[name].kind in ("source", "children", "model")
        else row_counts.passed
    )


def _rows(schedule: Schedule, name: str) -> str:
    row_counts = schedule.steps[name].row_counts
    gone = [f"{row_counts.dropped:,} dropped"] if row_counts.dropped else []
    gone += [f"{row_counts.rejected:,} rejected"] if row_counts.rejected else []
    return ", ".join([f"{_out(schedule, name):,} rows", *gone])


def _rate(rows_per_s: float) -> str:
    return f", {rows_per_s:.1f} rows/s" if rows_per_s else ""


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", about {_clock(seconds)} left"
