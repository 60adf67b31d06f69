"""clipmill report: write the HTML report of a run again and print its path."""

from argparse import Namespace
from typing import Any


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("report", epilog="example:\n  clipmill report /data/store")
    parser.add_argument("store", metavar="STORE", help="the store: a folder or a URL")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="a run (default: the last run)")
    parser.set_defaults(func=report)


def report(args: Namespace) -> None:
    from manifests.format import open_checked_store
    from pipeline.history.run_history import read_history
    from pipeline.report.page import write_report

    print(write_report(read_history(open_checked_store(args.store.removeprefix("store=")), args.run)))
