"""clipmill demo: draw the demo's films and their truth into a folder."""

import os
from argparse import Namespace
from typing import Any

from manifests.errors import ClipmillError


def add_verbs(verbs: Any) -> None:
    """Add `demo` to a parser's subparsers."""
    parser = verbs.add_parser("demo", help="draw the demo's films and their truth")
    parser.add_argument("folder", metavar="DIR", help="where to draw them; files of their names are replaced")
    parser.add_argument(
        "--seed", type=int, default=7, help="the same seed gives the same bytes (%(default)s)"
    )
    parser.add_argument("--film", action="append", metavar="NAME", help="only this one; may be given again")
    parser.set_defaults(act=demo)


def demo(args: Namespace) -> None:
    from stages.footage.draw import draw, names

    unknown = [name for name in args.film or () if name not in names()]
    if unknown:
        raise ClipmillError(f"no film is named {unknown[0]!r}", remedy=f"name one of: {', '.join(names())}")
    for path in draw(args.folder, seed=args.seed, films=args.film, processes=os.cpu_count() or 1):
        print(path)
