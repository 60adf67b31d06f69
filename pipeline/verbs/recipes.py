"""clipmill recipes: list all recipes, or print the knobs of one."""

import json
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.recipes.recipe import Recipe


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "recipes",
        epilog="example:\n  clipmill recipes curate",
    )
    parser.add_argument(
        "recipe", nargs="?", default="", metavar="RECIPE", help="a name from the list, or a .py or .yaml file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=recipes)


def recipes(args: Namespace) -> None:
    from pipeline.recipes.catalog import find_recipe, list_recipes

    if args.recipe:
        recipe = find_recipe(args.recipe)
        print(json.dumps(recipe_record(recipe), indent=1) if args.json else "\n".join(_details(recipe)))
        return
    found = list_recipes()
    if args.json:
        entries = [{"name": name, "path": str(file), "purpose": purpose} for name, file, purpose in found]
        print(json.dumps(entries, indent=1))
    else:
        print("\n".join(_list(found)))


def recipe_record(recipe: "Recipe") -> dict[str, Any]:
    """Return a recipe and its knobs as plain values for JSON."""
    from pipeline.recipes.descriptions import summary
    from pipeline.recipes.values import type_name

    knobs = [
        {
            "name": knob.name,
            "type": type_name(knob.value_type),
            "required": knob.required,
            "default": None if knob.required else knob.default,
            "description": knob.description,
        }
        for knob in recipe.knobs
    ]
    return {"name": recipe.name, "path": recipe.path, "purpose": summary(recipe.doc), "knobs": knobs}


def _list(found: list[tuple[str, Path, str]]) -> Iterator[str]:
    from pipeline.verbs.help_text import definition_lines

    yield from definition_lines((name, f"{purpose}\n{_short(file)}") for name, file, purpose in found)
    yield ""
    yield "clipmill recipes RECIPE prints the knobs of a recipe; clipmill run PATH knob=value … runs it"


def _details(recipe: "Recipe") -> Iterator[str]:
    from pipeline.recipes.descriptions import summary
    from pipeline.verbs.help_text import WIDTH, knob_lines

    yield recipe.name
    purpose = summary(recipe.doc) or "This recipe has no description."
    yield from textwrap.wrap(purpose, WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield f"  {_short(Path(recipe.path))}"
    yield ""
    yield "knobs"
    yield from knob_lines(recipe.knobs)


def _short(file: Path) -> str:
    """Return the path relative to the working folder if the file is below it."""
    full = file.resolve()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)
