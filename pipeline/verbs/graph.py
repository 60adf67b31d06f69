"""clipmill draw: a recipe's DAG as a drawing."""

from argparse import Namespace
from typing import Any

from pipeline.recipes.request import add_words, asked


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("draw", help="draw a recipe's DAG")
    add_words(parser, store=False)
    parser.set_defaults(act=draw)


def draw(args: Namespace) -> None:
    from pipeline.recipes.drawing import draw as drawn

    print(drawn(asked(args, store=False).dag()))
