"""Wording of errors: the nearest known name, a short list, a line with a mark under its fault."""

import difflib
from collections.abc import Iterable

_WIDTH = 96  # characters of a line shown around its fault
_INDENT = " " * 10  # the width of "  where:  ", so that the mark stands under the line


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or ""."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def listed(names: Iterable[str], most: int = 12) -> str:
    """The names with commas, cut after `most` of them."""
    every = list(names)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(every[:most]) or "none") + rest


def pointed(line: str, start: int, size: int) -> str:
    """The part of `line` around character `start`, with a mark under `size` characters from there."""
    first = max(0, start - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = line[first : first + _WIDTH]
    before = "… " if first else ""
    after = " …" if first + _WIDTH < len(line) else ""
    at = start - first + len(before)
    mark = "^" * max(1, min(size, len(shown) + len(before) - at))
    return f"{before}{shown}{after}\n{_INDENT}{' ' * at}{mark}"
