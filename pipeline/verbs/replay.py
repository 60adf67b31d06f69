"""clipmill replay: one step on one row again, compared with what is stored."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import RunRequest, add_store_argument, store_from_args

if TYPE_CHECKING:
    from pipeline.engine.replay import Replayed


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("replay", help="run one step on one row again, and compare")
    parser.add_argument("step", metavar="NODE", help="a step's name, as in `clipmill status`")
    parser.add_argument("--row", required=True, metavar="ID", help="an id, or its first digits")
    add_store_argument(parser)
    parser.add_argument(
        "--run", default="", metavar="RUN", help="as this run planned; the last one by default"
    )
    parser.add_argument(
        "--recipe", default="", metavar="RECIPE", help="take the stages from here, not the record"
    )
    parser.add_argument(
        "--knob", action="append", default=[], metavar="name=value", help="a knob of --recipe"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(act=replay)


def replay(args: Namespace) -> int:
    from pipeline.engine.replay import dag_of_run
    from pipeline.engine.replay import replay as again
    from pipeline.history.run_history import read_past
    from pipeline.recipes.recipe import parse_knobs
    from pipeline.run import opened

    past = read_past(opened(store_from_args(args)), args.run)
    dag = RunRequest(args.recipe, parse_knobs(args.knob), "").dag() if args.recipe else dag_of_run(past)
    found = again(past, dag, args.step, args.row)
    if args.debug and found.error:
        raise found.error
    print(json.dumps(_plain(found), indent=1, default=repr) if args.json else "\n".join(_lines(found)))
    return 0 if found.equal else 1


def _lines(found: "Replayed") -> list[str]:
    from pipeline.history.wording import printable, told

    lines = [f"{found.step} on {found.row}: {'equal to what is stored' if found.equal else 'NOT EQUAL'}"]
    if found.said or found.stored_said:
        lines += [
            f"  now:    {printable(found.said) or 'kept'}",
            f"  stored: {printable(found.stored_said) or 'kept'}",
        ]
    for place in range(max(len(found.given), len(found.stored))):
        now = found.given[place] if place < len(found.given) else {}
        before = found.stored[place] if place < len(found.stored) else {}
        lines += [f"  {now.get('id') or before.get('id')}"]
        for name in [n for n in {**now, **before} if n not in ("id", "parent")]:
            same = name in now and name in before and now[name] == before[name]
            stored = "" if same else f"   stored: {told(before[name]) if name in before else 'nothing'}"
            lines += [f"    {name} = {told(now[name]) if name in now else 'nothing'}{stored}"]
    return lines


def _plain(found: "Replayed") -> dict[str, Any]:
    said = {"step": found.step, "row": found.row, "equal": found.equal, "now": list(found.given)}
    return {**said, "said": found.said, "stored": list(found.stored), "stored_said": found.stored_said}
