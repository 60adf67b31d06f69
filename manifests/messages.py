"""Parts of error messages: the closest known name, a short list, and a line with a mark under its error."""

import difflib
from collections.abc import Iterable

_WIDTH = 96  # characters of a line that are shown around the error
_INDENT = " " * 10  # the width of "  where:  ", so that the mark is below the line


def closest_name(name: str, known: Iterable[str]) -> str:
    """The known name that is most similar to `name`, or ""."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def join_names(names: Iterable[str], max_names: int = 12) -> str:
    """The first `max_names` names, separated by commas, and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - max_names} more" if len(every) > max_names else ""
    return (", ".join(every[:max_names]) or "none") + rest


def mark_position(line: str, start: int, size: int) -> str:
    """The part of `line` around character `start`, with a mark below `size` characters from there on."""
    first = max(0, start - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = line[first : first + _WIDTH]
    before = "… " if first else ""
    after = " …" if first + _WIDTH < len(line) else ""
    at = start - first + len(before)
    mark = "^" * max(1, min(size, len(shown) + len(before) - at))
    return f"{before}{shown}{after}\n{_INDENT}{' ' * at}{mark}"
