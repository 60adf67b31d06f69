"""Format values and row histories for a terminal; control characters from files are escaped."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.history.explain import RowEvent, RowHistory

_MAX_CHARACTERS, _MAX_VALUES = 240, 8
_FRACTION = re.compile(r"(?<![\w.])\d+\.\d{5,}(?:[eE][-+]?\d+)?(?![\w.])")


def format_value(value: Any, unit: str = "") -> str:
    """Format a value with its unit."""
    match value:
        case None:
            return "missing"
        case bool():
            return "yes" if value else "no"
        case float():
            text = f"{value:.6g}"
        case {"path": path, "size_bytes": size, "sha256": _}:
            return f"{printable(str(path))} ({size:,} bytes)"
        case bytes():
            return f"{len(value):,} bytes"
        case [*_] if len(value) > _MAX_VALUES:
            return f"{len(value):,} values"
        case _:
            text = printable(str(value))
    return text if unit in ("", "1") or unit == "0..1" else f"{text} {unit}"


def format_column(name: str, value: Any, unit: str) -> str:
    """Format a value of a column with its unit, unless the name of the column ends with the unit."""
    return format_value(value, "" if name.endswith(f"_{unit}") else unit)


def printable(text: str, max_characters: int = _MAX_CHARACTERS) -> str:
    """Escape characters that are not printable, and shorten the text to `max_characters`."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= max_characters else f"{line[: max_characters - 1]}…"


def round_fractions(text: str) -> str:
    """Round long fractions in a text to four significant digits: "motion_mean=0.01843"."""
    return _FRACTION.sub(lambda match: f"{float(match[0]):.4g}", text)


def format_rows(count: int) -> str:
    """A number of rows in words: 1 row, or 1,200 rows."""
    return "1 row" if count == 1 else f"{count:,} rows"


def format_duration(seconds: float) -> str:
    """Seconds as 0:41 (minutes and seconds), or as 1:02:03 from an hour on."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def format_long_duration(seconds: float) -> str:
    """Seconds in words: 41 s, 3 min 10 s, or 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_bytes(count: float) -> str:
    """A number of bytes in kB, MB or GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def history_lines(row: RowHistory) -> Iterator[str]:
    """The history of a row as lines: the summary, the events of ancestors, its own events, its children."""
    yield f"{row.location.id}, made by {row.location.base}: {round_fractions(printable(row.summary))}"
    ancestors = []
    ancestor = row.parent
    while ancestor:
        ancestors.append(ancestor)
        ancestor = ancestor.parent
    for each in reversed(ancestors):
        relation = "parent" if each is row.parent else "ancestor"
        yield f"\nits {relation} {each.location.id}, made by {each.location.base}"
        yield from _event_lines(each.events)
    yield "\nthe row itself" if ancestors else ""
    yield from _event_lines(row.events)
    for step, children in row.children.items():
        yield f"\nrows made from it by {step}"
        yield from (f"  {child}  {round_fractions(printable(summary))}" for child, summary in children)
        count = next(outcomes.rows for outcomes in row.made if outcomes.base == step)
        if count > len(children):
            yield f"  and {count - len(children):,} more"


def _event_lines(events: tuple[RowEvent, ...]) -> Iterator[str]:
    for event in events:
        outcome = "" if event.outcome == "kept" else f"{event.outcome.upper()} "
        yield f"  {event.step}: {outcome}{round_fractions(printable(event.reason))}".rstrip(": ")
        for name, (value, unit) in event.values.items():
            yield f"    {name} = {format_column(name, value, unit)}"
