"""clipmill graph: the DAG of a recipe as a drawing of text."""

from argparse import Namespace
from typing import Any

from pipeline.recipes.request import add_recipe_arguments, parse_request


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "graph",
        epilog="example:\n  clipmill graph stages/recipes/curate.py footage=films",
    )
    add_recipe_arguments(parser, store=False)
    parser.set_defaults(func=print_graph)


def print_graph(args: Namespace) -> None:
    from pipeline.recipes.drawing import draw

    print(draw(parse_request(args, store=False).dag()))
