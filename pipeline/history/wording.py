"""Wording of values and lives for a terminal, where nothing from a file can move the cursor."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.history.explain import Event, Life

_LONGEST, _VALUES = 240, 8
_FRACTION = re.compile(r"(?<![\w.])\d+\.\d{5,}(?:[eE][-+]?\d+)?(?![\w.])")


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
        case [*_] if len(value) > _VALUES:
            return f"{len(value):,} values"
        case _:
            text = printable(str(value))
    return text if unit in ("", "1") or unit == "0..1" else f"{text} {unit}"


def printable(text: str, longest: int = _LONGEST) -> str:
    """Text of bounded length, on one line, with everything that is not printable escaped."""
    flat = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def rounded(text: str) -> str:
    """Text in which long fractions are cut to four significant digits: "motion_mean=0.01843"."""
    return _FRACTION.sub(lambda found: f"{float(found[0]):.4g}", text)


def life_lines(life: Life) -> Iterator[str]:
    """A life, line by line: its verdict first, then its ancestors, then its own steps."""
    yield f"{life.found.id}, made by {life.found.base}: {rounded(printable(life.verdict))}"
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
        yield from (f"  {row}  {rounded(printable(verdict))}" for row, verdict in rows)


def _event_lines(events: tuple[Event, ...]) -> Iterator[str]:
    for event in events:
        fate = "" if event.fate == "kept" else f"{event.fate.upper()} "
        yield f"  {event.step}: {fate}{rounded(printable(event.why))}".rstrip(": ")
        for name, (value, unit) in event.values.items():
            yield f"    {name} = {told(value, '' if name.endswith(f'_{unit}') else unit)}"
