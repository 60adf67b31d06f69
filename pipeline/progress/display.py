"""Displays the progress of a run: a live table, text lines, or JSON lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pipeline.executor import Observer
from pipeline.progress.lines import JsonProgress, LineProgress
from pipeline.progress.live_table import LiveProgress


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


@contextmanager
def _live() -> Iterator[LiveProgress]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False) as live:
        show = partial(live.update, refresh=True)
        yield LiveProgress(show, lambda: (console.width, console.height))


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _discard(line: str) -> None:
    """Print nothing."""
