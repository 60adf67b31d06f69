"""clipmill yaml: the DAG of a recipe as YAML, or the JSON schema of YAML recipes."""

import json
from argparse import Namespace
from typing import Any

from pipeline.recipes.request import add_recipe_arguments, parse_request


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "yaml",
        description="Print the DAG of a recipe as YAML, with the values of its knobs filled in. The output "
        "is a recipe as well.",
        epilog="example:\n  clipmill yaml stages/recipes/curate.py footage=films > films.yaml",
    )
    add_recipe_arguments(parser, store=False, required=False)
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON schema of YAML recipes, for editors; with a RECIPE, it describes its knobs",
    )
    parser.set_defaults(func=print_yaml)


def print_yaml(args: Namespace) -> None:
    from pipeline.errors import RecipeError
    from pipeline.recipes.recipe import load_recipe
    from pipeline.recipes.yaml_text import json_schema, to_yaml

    if args.schema:
        recipe = load_recipe(args.recipe) if args.recipe else None
        knobs = {knob.name: knob.schema() for knob in recipe.knobs} if recipe else {}
        print(json.dumps(json_schema(knobs=knobs), indent=1))
    elif args.recipe is None:
        raise RecipeError("no recipe is named", remedy="name a recipe, or add --schema")
    else:
        print(to_yaml(parse_request(args, store=False).dag()), end="")
