"""clipmill explain: what happened to one row, step by step."""

import json
from argparse import Namespace
from typing import Any

from pipeline.recipes.request import add_store_argument, store_from_args


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "explain",
        description="Print what each step measured on a row, and which rule or error removed it.",
        epilog="example:\n  clipmill explain films/harbor.mp4 store=/data/store",
    )
    parser.add_argument(
        "row",
        metavar="ID",
        help="the id of a row, its first characters, or the end of a file's path",
    )
    add_store_argument(parser)
    parser.add_argument(
        "--run", default="", metavar="RUN", help="explain as of this run (default: the last run)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=explain)


def explain(args: Namespace) -> None:
    from manifests.format import open_checked_store
    from pipeline.history.explain import row_history
    from pipeline.history.find import find_row
    from pipeline.history.formatting import history_lines
    from pipeline.history.run_history import read_history

    history = read_history(open_checked_store(store_from_args(args)), args.run)
    row = row_history(history, find_row(history, args.row))
    if args.json:
        print(json.dumps(row.as_dict(), indent=1, default=repr))
    else:
        print("\n".join(history_lines(row)))
