"""clipmill text: a recipe's DAG as YAML, or the JSON schema of such texts."""

import json
from argparse import Namespace
from typing import Any

from pipeline.recipes.request import add_words, asked


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("text", help="print a recipe's DAG as YAML")
    add_words(parser, store=False, needed=False)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of such texts instead")
    parser.set_defaults(act=text)


def text(args: Namespace) -> None:
    from pipeline.errors import RecipeError
    from pipeline.recipes.yaml_text import json_schema, to_yaml

    if args.schema:
        print(json.dumps(json_schema(), indent=1))
    elif args.recipe is None:
        raise RecipeError("no recipe is named", remedy="name one, or ask for --schema")
    else:
        print(to_yaml(asked(args, store=False).dag()), end="")
