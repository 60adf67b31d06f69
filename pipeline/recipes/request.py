"""What a user asked for: a recipe, its knobs, a store and where to run, read from the words of a command."""

import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import ManifestError
from pipeline.dag import Dag
from pipeline.errors import RecipeError

HIDDEN, FROM_ENVIRONMENT = "***", "env:"
_OWN = ("store", "ray_address")  # words that look like knobs and are options of the command
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SIGNATURE = re.compile(r"(://[^\s?\"']+)\?[^\s\"']+")
_SECRET = re.compile(r"token|secret|passw|credential|api_?key|endpoint", re.IGNORECASE)


@dataclass(frozen=True)
class RunRequest:
    """One command.

    Attributes:
        recipe: the path of the recipe.
        knobs: the knobs as they were written.
        words: the whole command, to run the same again; as typed, so it is not for a record.
    """

    recipe: str
    knobs: Mapping[str, str]
    store: str
    ray_address: str = ""
    words: Sequence[str] = field(default=(), repr=False)

    def dag(self) -> Dag:
        """The recipe with its knobs turned.

        Raises:
            PipelineError: the recipe, a knob, or the DAG it builds is wrong.
        """
        from pipeline.recipes.recipe import load_recipe, turn

        try:
            return turn(load_recipe(self.recipe), self.knobs)
        except ManifestError as error:  # a predicate or a row type: the recipe is at fault
            raise RecipeError(error.what, where=error.where, remedy=error.remedy) from error

    def plain(self) -> dict[str, Any]:
        """As it is recorded: without credentials."""
        knobs = {name: _safe_value(name, value) for name, value in self.knobs.items()}
        return {
            "recipe": safe(self.recipe),
            "knobs": knobs,
            "store": safe(self.store),
            "command": [_safe_word(word) for word in self.words],
        }


def add_words(parser: ArgumentParser, *, store: bool = True, needed: bool = True) -> None:
    """Let a verb take RECIPE, knobs and, as `store=DIR` or `--store DIR`, a store."""
    many = None if needed else "?"
    parser.add_argument("recipe", metavar="RECIPE", nargs=many, help="a recipe: a .py or .yaml file")
    parser.add_argument("words", nargs="*", metavar="knob=value", help="knobs of the recipe, and store=DIR")
    if store:
        parser.add_argument("--store", metavar="DIR", help="the store: a folder or a URL such as s3://…")


def add_store(parser: ArgumentParser) -> None:
    """Let a verb take a store as `store=DIR` or `--store DIR`; the working folder if it is one."""
    parser.add_argument(
        "words", nargs="*", metavar="store=DIR", help="the store; the working folder if it is one"
    )
    parser.add_argument("--store", metavar="DIR", help="the same")


def store_of(args: Namespace) -> str:
    """The store that a command names.

    Raises:
        RecipeError: a word is not `store=DIR`, or none is named and the working folder is no store.
    """
    wrong = [word for word in args.words if not word.startswith("store=")]
    if wrong:
        raise RecipeError(f"{wrong[0]!r} is not understood", remedy="name the store as store=DIR")
    named = args.store or next((word.removeprefix("store=") for word in args.words), "")
    if not named and not Path("store.json").is_file():
        raise RecipeError("no store is named, and the working folder is none", remedy="add store=DIR")
    return named or "."


def asked(args: Namespace, words: Sequence[str] = (), *, store: bool = True) -> RunRequest:
    """What a parsed command asks for.

    Raises:
        RecipeError: a word is no knob, or no store is named.
    """
    from pipeline.recipes.recipe import parse_knobs

    knobs = dict(parse_knobs(args.words))
    own = {name: knobs.pop(name) for name in _OWN if name in knobs}
    where = getattr(args, "store", None) or own.get("store", "")
    if store and not where:
        raise RecipeError(
            "no store is named: where shall the tables go?",
            remedy=f"add store=DIR, as in: clipmill {args.verb} {args.recipe} store=/data/store",
        )
    address = getattr(args, "ray_address", None) or own.get("ray_address", "")
    return RunRequest(args.recipe, knobs, where, address, tuple(words))


def safe(text: str) -> str:
    """Text without the credentials that URLs may carry (a user's name, a signature)."""
    return _SIGNATURE.sub(r"\1?***", _USER.sub("", text))


def again(words: Sequence[str]) -> str:
    """The command to type to go on."""
    return f"clipmill {shlex.join(words)}"


def _safe_word(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{safe(name)}{equals}{_safe_value(name, value)}"


def _safe_value(name: str, value: str) -> str:
    return hidden(value) if _SECRET.search(name) else safe(value)


def hidden(value: str) -> str:
    """What a record says of a value that it must not show; the name of a variable that holds it may stand."""
    return value if not value or value.startswith(FROM_ENVIRONMENT) else HIDDEN
