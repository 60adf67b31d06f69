"""Wording of values and lives for a terminal, where nothing from a file can move the cursor."""

from collections.abc import Iterator
from typing import Any

from pipeline.history.explaining import Event, Life

_LONGEST = 240


def told(value: Any, unit: str = "") -> str:
    """A value as a person reads it, with its unit."""
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
        case [float(), *_] if len(value) > 4:
            return f"{len(value):,} numbers"
        case _:
            text = printable(str(value))
    return text if unit in ("", "1") or unit == "0..1" else f"{text} {unit}"


def printable(text: str) -> str:
    """Text of bounded length, on one line, with everything that is not printable escaped."""
    flat = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"


def life_lines(life: Life) -> Iterator[str]:
    """A life, line by line: its verdict first, then its ancestors, then its own steps."""
    yield f"{life.found.id}, made by {life.found.base}: {printable(life.verdict)}"
    ancestors = []
    above = life.parent
    while above:
        ancestors.append(above)
        above = above.parent
    for older in reversed(ancestors):
        kin = "parent" if older is life.parent else "ancestor"
        yield f"\nits {kin} {older.found.id}, made by {older.found.base}"
        yield from _event_lines(older.events)
    yield "\nitself" if ancestors else ""
    yield from _event_lines(life.events)
    for step, rows in life.children.items():
        yield f"\nmade of it by {step}"
        yield from (f"  {row}  {printable(verdict)}" for row, verdict in rows)


def _event_lines(events: tuple[Event, ...]) -> Iterator[str]:
    for event in events:
        fate = "" if event.fate == "kept" else f"{event.fate.upper()} "
        yield f"  {event.step}: {fate}{printable(event.why)}".rstrip(": ")
        for name, (value, unit) in event.values.items():
            yield f"    {name} = {told(value, unit)}"
