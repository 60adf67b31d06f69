"""Parses the command-line arguments that select a recipe, its knobs and a store."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from manifests.errors import ClipmillError
from pipeline.dag import Dag
from pipeline.errors import PipelineError, RecipeError
from pipeline.recipes.recipe import Recipe, build_dag, load_recipe, parse_knobs
from pipeline.recipes.redaction import redact_argument, redact_knob, redact_urls

_OPTIONS = ("store", "ray_address", "max_error_share")  # options that may be written like knobs


@dataclass(frozen=True)
class RunRequest:
    """One parsed command that names a recipe.

    Attributes:
        recipe: Path of the recipe.
        knobs: Values of the knobs as typed.
        store: Path or URL of the store.
        ray_address: Address of a Ray cluster; empty runs on this machine.
        max_error_share: Maximum share of failed rows of a step as typed; empty allows all.
        command: All arguments as typed, needed to print the command again. May contain credentials.
    """

    recipe: str
    knobs: Mapping[str, str]
    store: str
    ray_address: str = ""
    max_error_share: str = ""
    command: Sequence[str] = field(default=(), repr=False)

    @cached_property
    def loaded_recipe(self) -> Recipe:
        """The recipe. It is loaded once, because loading a Python file again makes new stage classes."""
        return load_recipe(self.recipe)

    def dag(self) -> Dag:
        """Build the DAG of the recipe with these knobs.

        Raises:
            PipelineError: The recipe, a knob or the DAG is invalid.
        """
        try:
            return build_dag(self.loaded_recipe, self.knobs)
        except PipelineError:
            raise
        except ClipmillError as error:  # a stage rejects a setting, or a predicate or a row type is invalid
            raise RecipeError(error.what, where=error.where, remedy=error.remedy) from error

    def knob_names(self) -> tuple[str, ...]:
        """The names of the knobs, if the recipe is loaded."""
        recipe: Recipe | None = vars(self).get("loaded_recipe")
        return recipe.knob_names() if recipe else ()

    def to_record(self) -> dict[str, Any]:
        """Return the request as plain values without credentials, for the record of a run.

        If the recipe is loaded, the values include the descriptions of the knobs that are set, and the
        defaults of all knobs that are numbers.
        """
        recipe: Recipe | None = vars(self).get("loaded_recipe")
        known = recipe.knobs if recipe else ()
        described = {knob.name: knob.description for knob in known}
        numbers = {k.name: str(k.default) for k in known if type(k.default) in (int, float)}
        return {
            "recipe": redact_urls(self.recipe),
            "knobs": {name: redact_knob(name, value) for name, value in self.knobs.items()},
            "knob_descriptions": {name: described[name] for name in self.knobs if name in described},
            "knob_defaults": numbers,
            "store": redact_urls(self.store),
            "command": [redact_argument(argument) for argument in self.command],
        }


def add_recipe_arguments(parser: ArgumentParser, *, store: bool = True, required: bool = True) -> None:
    """Add the arguments RECIPE and `knob=value`, and with `store` also `store=DIR` and `--store DIR`."""
    nargs = None if required else "?"
    parser.add_argument("recipe", metavar="RECIPE", nargs=nargs, help="a recipe: a .py or .yaml file")
    parser.add_argument(
        "assignments", nargs="*", metavar="knob=value", help="knobs of the recipe, and store=DIR"
    )
    if store:
        parser.add_argument("--store", metavar="DIR", help="the store: a folder or a URL such as s3://…")


def add_store_argument(parser: ArgumentParser) -> None:
    """Add `store=DIR` and `--store DIR`. The default is the working folder if it is a store."""
    parser.add_argument(
        "assignments", nargs="*", metavar="store=DIR", help="the store (default: the working folder)"
    )
    parser.add_argument("--store", metavar="DIR", help="same as store=DIR")


def store_from_args(args: Namespace) -> str:
    """Return the store that a command names.

    Raises:
        RecipeError: An argument is not `store=DIR`, or no store is named and the working folder is not a
            store.
    """
    unknown = [text for text in args.assignments if not text.startswith("store=")]
    if unknown:
        raise RecipeError(f"unknown argument {unknown[0]!r}", remedy="name the store as store=DIR")
    store = args.store or next((text.removeprefix("store=") for text in args.assignments), "")
    if not store and not Path("store.json").is_file():
        raise RecipeError("no store is named, and the working folder is not a store", remedy="add store=DIR")
    return store or "."


def parse_request(args: Namespace, command: Sequence[str] = (), *, store: bool = True) -> RunRequest:
    """Return the request of a parsed command.

    Args:
        args: Parsed arguments.
        command: All arguments as typed.
        store: Whether the command requires a store.

    Raises:
        RecipeError: An argument is not `knob=value`, or no store is named.
    """
    knobs = dict(parse_knobs(args.assignments))
    options = {name: knobs.pop(name) for name in _OPTIONS if name in knobs}
    store_url = getattr(args, "store", None) or options.get("store", "")
    if store and not store_url:
        raise RecipeError(
            "no store is named: the command does not know where to write its tables",
            remedy=f"add store=DIR, for example: clipmill {args.verb} {args.recipe} store=/data/store",
        )
    ray_address = getattr(args, "ray_address", None) or options.get("ray_address", "")
    share = options.get("max_error_share", "")
    return RunRequest(args.recipe, knobs, store_url, ray_address, share, tuple(command))


def format_command(arguments: Sequence[str]) -> str:
    """Return the shell command with these arguments, ready to be typed again."""
    return f"clipmill {shlex.join(arguments)}"
