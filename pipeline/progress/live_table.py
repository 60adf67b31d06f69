"""The live table of a run on a terminal: as many columns and steps as fit; nothing is cut off."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Progress
from pipeline.history.formatting import format_duration
from pipeline.progress.lines import format_parts, format_rate, format_times, rows_done
from pipeline.progress.stopwatch import Stopwatch, launch_progress

if TYPE_CHECKING:
    from rich.table import Table

_UPDATE_S = 0.25  # seconds between two updates
_BAR, _GAP = 8, 1  # characters
# Columns in the order in which they are shown, each with its rank: the highest ranks are left out first.
_COLUMNS = {
    "step": 0, "": 7, "parts": 4, "running": 9, "ready": 10, "rows": 1, "dropped": 6, "rejected": 8,
    "errors": 2, "rows/s": 3, "time": 5,
}  # fmt: skip
_ONLY_IF_ANY = ("dropped", "rejected", "errors")
_LINES_AROUND = 4  # the head, the caption, the prompt, and a line that is left free


class LiveProgress:
    """Shows a table on the terminal, and updates it about four times per second."""

    def __init__(self, show: "Callable[[Table], None]", size: Callable[[], tuple[int, int]]) -> None:
        """`size` returns the width and the height of the terminal in characters."""
        self.show, self.size = show, size
        self.stopwatch = Stopwatch()
        self._next = 0.0

    def observe(self, schedule: Schedule) -> None:
        self.stopwatch.observe(schedule)
        if time.monotonic() >= self._next or schedule.is_finished:
            self._next = time.monotonic() + _UPDATE_S
            self.show(self.table(schedule))

    def table(self, schedule: Schedule) -> "Table":
        """The table of the steps: all of them, or those of interest if the terminal has too few lines."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        self.stopwatch.read_journals(schedule)
        width, height = self.size()
        names = _shown_steps(schedule, height - _LINES_AROUND)
        cells = {name: self._cells(schedule, name) for name in names}
        columns = _fitting_columns(cells.values(), width)
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), caption_justify="left")
        table.caption = self._caption(schedule, len(schedule.steps) - len(names))
        for column in columns:
            is_name = column == "step"
            wraps = is_name and width < len(max(names, key=len, default=""))
            table.add_column(column, justify="left" if is_name else "right", no_wrap=not wraps)
        for name, row in cells.items():
            progress = schedule.steps[name]
            bar = ProgressBar(total=progress.parts or 1, completed=len(progress.done), width=_BAR)
            shown = [bar if column == "" else row[column] for column in columns]
            table.add_row(*shown, style="dim" if progress.is_complete else "bold" if progress.running else "")
        return table

    def _cells(self, schedule: Schedule, name: str) -> dict[str, str]:
        progress, counts = schedule.steps[name], schedule.steps[name].row_counts
        rate, seconds = self.stopwatch.rows_per_s(name), self.stopwatch.step_s.get(name, 0.0)
        paused = " paused" if name in schedule.pauses.reasons() else ""
        numbers = {
            "running": progress.running,
            "ready": schedule.ready.get(name, 0),
            "rows": rows_done(schedule, self.stopwatch, name),
            "dropped": counts.dropped,
            "rejected": counts.rejected - counts.errors,
            "errors": counts.errors,
        }
        texts = {column: f"{number:,}" if number else "·" for column, number in numbers.items()}
        return {
            **texts,
            "step": name,
            "": " " * _BAR,
            "parts": format_parts(progress) + paused,
            "rows/s": format_rate(rate) if rate else "·",
            "time": format_duration(seconds) if seconds else "·",
        }

    def _caption(self, schedule: Schedule, hidden: int) -> str:
        lines = [format_times(self.stopwatch, schedule)]
        for step in schedule.plan:
            if schedule.steps[step.name].running and step.kind == "model":
                text = launch_progress(schedule, step)[1]
                lines += [f"{step.name}: {text}"] if text else []
        lines += [f"{hidden} more {'step' if hidden == 1 else 'steps'}, done or waiting"] if hidden else []
        return "\n".join(lines)


def _shown_steps(schedule: Schedule, lines: int) -> list[str]:
    """The steps that the table shows: all, else the unfinished ones, else those with tasks first."""
    steps = schedule.steps
    if len(steps) <= lines:
        return list(steps)
    unfinished = [name for name, progress in steps.items() if not progress.is_complete]
    if len(unfinished) < lines:
        return unfinished
    busy = [name for name in unfinished if _has_tasks(schedule, name, steps[name])]
    chosen = {*[*busy, *(name for name in unfinished if name not in busy)][: max(lines - 1, 1)]}
    return [name for name in unfinished if name in chosen]


def _has_tasks(schedule: Schedule, name: str, progress: Progress) -> bool:
    return bool(progress.running or schedule.ready.get(name) or name in schedule.pauses.reasons())


def _fitting_columns(rows: Iterable[dict[str, str]], width: int) -> list[str]:
    """The columns that fit into the width; columns of counts that are all 0 are left out."""
    rows = list(rows)
    columns = [c for c in _COLUMNS if c not in _ONLY_IF_ANY or any(row[c] != "·" for row in rows)]
    widths = {c: max([len(c), *(len(row[c]) for row in rows)]) for c in columns}
    while len(columns) > 1 and sum(widths[c] + _GAP for c in columns) - _GAP > width:
        columns.remove(max(columns, key=lambda c: _COLUMNS[c]))
    return columns
