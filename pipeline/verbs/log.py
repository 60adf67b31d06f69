"""clipmill log: print the log of a run, or its events, from any machine that reaches the store."""

import json
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from pipeline.errors import PipelineError

_POLL_S = 2.0


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("log", epilog="example:\n  clipmill log s3://bucket/store --follow")
    parser.add_argument("store", metavar="STORE", help="the store: a folder or a URL")
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="a run (default: the last run)")
    parser.add_argument("--events", action="store_true", help="print the events, one JSON object per line")
    parser.add_argument("--follow", action="store_true", help="print what is added until the run ends")
    parser.set_defaults(func=log)


def log(args: Namespace) -> None:
    from manifests.format import open_checked_store
    from pipeline.history.run_history import RUNS, runs_named

    store = open_checked_store(args.store.removeprefix("store="))
    names = runs_named(store, args.run)
    if not names:
        raise PipelineError("the store has no run yet", where=store.url)
    run = names[-1]
    offsets: dict[str, int] = {}
    while True:
        is_over = not args.follow or not _is_running(store, run)
        for line in (_events if args.events else _log)(store, f"{RUNS}/{run}", offsets):
            print(line, flush=True)
        if is_over:
            return
        time.sleep(_POLL_S)


def _log(store: Any, folder: str, offsets: dict[str, int]) -> Iterator[str]:
    start = offsets.get("log.txt", 0)
    try:
        added = store.read(f"{folder}/log.txt", start)
    except FileNotFoundError:
        return
    offsets["log.txt"] = start + len(added)
    yield from added.decode("utf-8", "replace").splitlines()


def _events(store: Any, folder: str, offsets: dict[str, int]) -> Iterator[str]:
    from pipeline.events.reader import read_events

    for event in read_events(store, folder, offsets):
        yield json.dumps(event, ensure_ascii=False)


def _is_running(store: Any, run: str) -> bool:
    from pipeline.history.lease_holder import lease_holder
    from pipeline.history.record import RUNNING
    from pipeline.history.status import run_state

    return run_state(store, run, lease_holder(store)) == RUNNING
