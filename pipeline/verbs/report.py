"""clipmill report: write the report of a run again, and say where it is."""

from argparse import Namespace
from typing import Any


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("report", help="write the report of a run again")
    parser.add_argument("store", metavar="STORE", help="the store: a folder or a URL")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="a run; the last one by default")
    parser.set_defaults(act=report)


def report(args: Namespace) -> None:
    from pipeline.history.run_history import read_past
    from pipeline.report.page import write_report
    from pipeline.run import opened

    print(write_report(read_past(opened(args.store.removeprefix("store=")), args.run)))
