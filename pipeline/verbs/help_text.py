"""Layout of help texts: at most 100 columns, examples as written, knobs as `name=default` and description."""

import shutil
import textwrap
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.recipes.recipe import Knob

WIDTH = 100  # columns


class HelpFormatter(RawDescriptionHelpFormatter):
    """Wraps descriptions and options to at most `WIDTH` columns, and keeps the lines of an example."""

    def __init__(self, prog: str) -> None:
        width = min(WIDTH, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=32, width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


def knob_lines(knobs: "Iterable[Knob]") -> Iterator[str]:
    """Yield `name=default` and the description of each knob."""
    yield from definition_lines((_assignment(knob), knob.description) for knob in knobs)


def definition_lines(pairs: Iterable[tuple[str, str]], width: int = WIDTH) -> Iterator[str]:
    """Yield each term with its text beside it, wrapped to `width` columns. Texts keep their line breaks."""
    rows = list(pairs)
    column = min(30, max((len(term) for term, _ in rows), default=0) + 2)
    for term, text in rows:
        parts = (textwrap.wrap(p, width - column - 2, break_on_hyphens=False) for p in text.split("\n"))
        lines = [line for part in parts for line in part] or [""]
        start = term
        if len(term) >= column:  # too long to have text beside it
            yield from textwrap.wrap(
                term, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False
            )
            start = ""
        yield f"  {start:{column}}{lines[0]}".rstrip()
        yield from (" " * (column + 2) + line for line in lines[1:])


def value_text(value: object) -> str:
    """Return a value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(value_text, value)) if isinstance(value, tuple) else str(value)


def _assignment(knob: "Knob") -> str:
    return knob.name if knob.required else f"{knob.name}={value_text(knob.default)}"
