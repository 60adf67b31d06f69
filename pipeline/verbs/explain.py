"""clipmill why: the life of a row."""

import json
from argparse import Namespace
from typing import Any

from pipeline.recipes.request import add_store, store_of


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("why", help="the life of a video, a clip or any other row")
    parser.add_argument("row", metavar="ID", help="an id, its first digits, or the end of a file's path")
    add_store(parser)
    parser.add_argument(
        "--run", default="", metavar="RUN", help="as this run saw it; the last one by default"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(act=why)


def why(args: Namespace) -> None:
    from pipeline.history.explain import life_of
    from pipeline.history.find import find
    from pipeline.history.run_history import read_past
    from pipeline.history.wording import life_lines
    from pipeline.run import opened

    past = read_past(opened(store_of(args)), args.run)
    life = life_of(past, find(past, args.row))
    if args.json:
        print(json.dumps(life.plain(), indent=1, default=repr))
    else:
        print("\n".join(life_lines(life)))
