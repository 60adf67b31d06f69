"""Answers the shell: the words that can follow on a command line. argcomplete does the protocol.

The shell runs `clipmill` with the line in COMP_LINE and the cursor in COMP_POINT. Options, verbs and choices
come from the parsers; this module adds the words that only clipmill knows.
"""

import os
import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.verbs.completion import words

_SPACE = re.compile(r"(?<!\\)\s")
Completer = Callable[[str, list[str]], Iterable[str]]
_COMPLETERS: dict[str, Completer] = {  # by the name of the argument
    "assignments": words.assignments,
    "knob": words.assignments,
    "prompt": words.paths,
    "recipe": words.recipes,
    "store": words.folders,
    "run": words.runs,
    "keep_run": words.runs,
    "row": words.rows,
    "step": words.steps,
    "stage": words.stages,
    "columns": words.columns,
    "of": words.tables,
    "place": words.folders,
    "here": words.folders,
    "there": words.folders,
}


def complete(parser_of: Callable[[str], ArgumentParser | None]) -> None:
    """Print the possible next words, and end the process.

    Args:
        parser_of: Returns the parser of a verb, or None if there is no such verb; "" for that of all verbs.
    """
    import argcomplete
    from argcomplete.lexers import split_line

    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    point = len(line.encode()[:point].decode(errors="ignore"))  # bash counts bytes
    quote, current, _, before, _ = split_line(line, point)
    parser = parser_of(before[1]) if len(before) > 1 else None
    if parser is not None:
        os.environ["_ARGCOMPLETE"] = "2"  # the words of the line that name the program: clipmill VERB
        if not quote and not current.startswith("-"):
            _shorten_line(parser, before, _SPACE.split(line[:point])[-1])
    else:
        parser = parser_of("")
        assert parser is not None
    _attach(parser, [*before, current, *split_line(f"{line[point:]} ")[3]])
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=_ask(words.paths))


def _shorten_line(parser: ArgumentParser, before: list[str], current: str) -> None:
    """Take options and `name=value` out of the line, which may stand before a positional argument.

    The parser would take `store=DIR` as the first positional argument, and expect no more after an option.
    """
    takes_assignments = any(action.dest == "assignments" for action in parser._actions)
    kept = before[:2]
    values = 0  # of the last option, that are still missing
    for word in before[2:]:
        option = parser._option_string_actions.get(word)
        if option is not None:
            values = 1 if option.nargs is None else 0
        elif values:
            values -= 1
        elif not (word.startswith("-") or (takes_assignments and "=" in word)):
            kept.append(word)
    if not values:  # else the word is the value of an option
        line = " ".join([*map(shlex.quote, kept), current])
        os.environ.update(COMP_LINE=line, COMP_POINT=str(len(line.encode())))


def _attach(parser: ArgumentParser, line: list[str]) -> None:
    """Give each argument that has one its completer."""
    takes_assignments = any(action.dest == "assignments" for action in parser._actions)
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for nested in action.choices.values():
                _attach(nested, line)
        elif action.dest in _COMPLETERS and action.choices is None:
            completers = [_COMPLETERS[action.dest]]
            if takes_assignments and not action.option_strings:
                completers.append(words.assignments)
            action.completer = _ask(*completers, line=line)  # type: ignore[attr-defined]
        elif action.type not in (None, Path):  # a number
            action.completer = _ask()  # type: ignore[attr-defined]


def _ask(*completers: Completer, line: Sequence[str] = ()) -> Any:
    return partial(_answer, completers, list(line))


def _answer(completers: Iterable[Completer], line: list[str], prefix: str, **_: object) -> list[str]:
    """The words of the completers; none of one that cannot read the store or the recipe."""
    from manifests.errors import ClipmillError

    found: list[str] = []
    for completer in completers:
        try:
            found += [word for word in completer(prefix, line) if word.startswith(prefix)]
        except (ClipmillError, OSError):
            continue
    return list(dict.fromkeys(found))
