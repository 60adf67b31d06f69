"""clipmill status: the progress of a run, and which process holds the store."""

import json
from argparse import Namespace
from typing import Any


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("status", epilog="example:\n  clipmill status /data/store")
    parser.add_argument("store", metavar="STORE", help="the store: a folder or a URL")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="a run (default: the last run)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=status)


def status(args: Namespace) -> None:
    from manifests.format import open_checked_store
    from pipeline.history.status import status_of

    found = status_of(open_checked_store(args.store.removeprefix("store=")), args.run)
    print(json.dumps(found.as_dict(), indent=1) if args.json else found.text())
