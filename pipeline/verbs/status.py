"""clipmill status: how far the last run of a store is, and who holds the store."""

import json
from argparse import Namespace
from typing import Any


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("status", help="how far the last run is, and who holds the store")
    parser.add_argument("store", metavar="STORE", help="the store: a folder or a URL")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="a run; the last one by default")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(act=status)


def status(args: Namespace) -> None:
    from pipeline.history.status import status_of
    from pipeline.run import opened

    found = status_of(opened(args.store.removeprefix("store=")), args.run)
    print(json.dumps(found.plain(), indent=1) if args.json else found.text())
