"""clipmill replay: run one step on one row again and compare with the stored result."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import RunRequest, add_store_argument, store_from_args

if TYPE_CHECKING:
    from pipeline.engine.replay import ReplayResult


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "replay",
        description="Run one step on one row again, in this process, and compare the result with the "
        "stored one. The exit code is 1 if they differ.",
        epilog="example:\n  clipmill replay measure_motion --row 3f2a store=/data/store",
    )
    parser.add_argument("step", metavar="STEP", help="name of the step, as clipmill status prints it")
    parser.add_argument(
        "--row", required=True, metavar="ID", help="the id of the row, or its first characters"
    )
    add_store_argument(parser)
    parser.add_argument(
        "--run", default="", metavar="RUN", help="use the plan of this run (default: the last run)"
    )
    parser.add_argument(
        "--recipe", default="", metavar="RECIPE", help="use the stages of this recipe, not the recorded ones"
    )
    parser.add_argument(
        "--knob", action="append", default=[], metavar="name=value", help="a knob of --recipe"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=replay)


def replay(args: Namespace) -> int:
    from manifests.format import open_checked_store
    from pipeline.engine.replay import dag_of_run
    from pipeline.engine.replay import replay as again
    from pipeline.history.run_history import read_history
    from pipeline.recipes.recipe import parse_knobs

    history = read_history(open_checked_store(store_from_args(args)), args.run)
    dag = RunRequest(args.recipe, parse_knobs(args.knob), "").dag() if args.recipe else dag_of_run(history)
    found = again(history, dag, args.step, args.row)
    if args.debug and found.error:
        raise found.error
    print(json.dumps(_plain(found), indent=1, default=repr) if args.json else "\n".join(_lines(found)))
    return 0 if found.is_equal else 1


def _lines(found: "ReplayResult") -> list[str]:
    from pipeline.history.formatting import format_column, printable

    verdict = "equal to the stored result" if found.is_equal else "NOT EQUAL"
    lines = [f"{found.step} on {found.row}: {verdict}"]
    if found.reason or found.stored_reason:
        lines += [
            f"  now:    {printable(found.reason) or 'kept'}",
            f"  stored: {printable(found.stored_reason) or 'kept'}",
        ]
    for place in range(max(len(found.records), len(found.stored_records))):
        now = found.records[place] if place < len(found.records) else {}
        before = found.stored_records[place] if place < len(found.stored_records) else {}
        lines += [f"  {now.get('id') or before.get('id')}"]
        for name in [n for n in {**now, **before} if n not in ("id", "parent")]:
            same = name in now and name in before and now[name] == before[name]
            new, old = (
                format_column(name, record[name], found.units.get(name, "")) if name in record else "nothing"
                for record in (now, before)
            )
            lines += [f"    {name} = {new}{'' if same else f'   stored: {old}'}"]
    return lines


def _plain(found: "ReplayResult") -> dict[str, Any]:
    return {
        "step": found.step,
        "row": found.row,
        "is_equal": found.is_equal,
        "records": list(found.records),
        "reason": found.reason,
        "stored_records": list(found.stored_records),
        "stored_reason": found.stored_reason,
    }
