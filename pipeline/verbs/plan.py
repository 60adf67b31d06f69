"""clipmill plan: what a run would do. Nothing is written."""

import json
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import add_words, asked

if TYPE_CHECKING:
    from pipeline.needs import Needs
    from pipeline.preview.forecast import Ahead


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("plan", help="say what a run would do; write nothing")
    add_words(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(act=plan)


def plan(args: Namespace) -> None:
    from pipeline.planning.plan import plan_of
    from pipeline.preview.forecast import foresee
    from pipeline.run import opened

    wish = asked(args)
    dag = wish.dag()
    store = opened(wish.store)
    aheads = foresee(plan_of(dag, store, "plan"))
    print(json.dumps([plain(a) for a in aheads], indent=1) if args.json else _table(aheads, store.url))


def _table(aheads: "list[Ahead]", store: str) -> str:
    todo = [a for a in aheads if not a.whole]
    last = f"{len(todo)} of {len(aheads)} steps to do" if todo else "nothing to do: every table is whole"
    return "\n".join([*to_do(aheads), "", f"{last} in {store}"])


def to_do(aheads: "Sequence[Ahead]") -> "Iterable[str]":
    """A line for each step: what is to do, and what that needs."""
    from pipeline.history.funnel import aligned, says

    head = ("step", "parts", "rows to do", "rows reused", "each needs", "")
    rows = [
        (a.step.name, _parts(a), _rows(a), _reused(a), _needs(a), _note(a, says(a.step.made_by())))
        for a in aheads
    ]
    return aligned([head, *rows])


def _parts(ahead: "Ahead") -> str:
    of = "?" if ahead.parts is None else str(ahead.parts)
    return "done" if ahead.whole else f"{ahead.standing} of {of}"


def _rows(ahead: "Ahead") -> str:
    if ahead.whole or not ahead.step.node.inputs:
        return "·" if ahead.whole else "to be listed"
    most = "" if ahead.sure else "at most "
    return "not known yet" if ahead.new is None else f"{most}{ahead.new:,}"


def _reused(ahead: "Ahead") -> str:
    return f"{ahead.reused:,}" if ahead.reused else "·"


def _needs(ahead: "Ahead") -> str:
    needs: Needs = ahead.step.node.needs
    gpus = f" {needs.gpus:g} gpu" if needs.gpus else ""
    ranks = f" {needs.ranks} ranks" if needs.ranks > 1 else ""
    return "·" if ahead.whole else f"{needs.cpus:g} cpu{gpus}{ranks}"


def _note(ahead: "Ahead", made: str) -> str:
    wait = "waits for all its input" if ahead.step.barrier and not ahead.whole else ""
    rule = made if ahead.step.kind == "drops" else ""
    return " · ".join(filter(None, [rule, wait]))


def plain(ahead: "Ahead") -> dict[str, Any]:
    """For machines."""
    return {
        "step": ahead.step.name,
        "kind": ahead.step.kind,
        "folder": ahead.step.folder,
        "whole": ahead.whole,
        "parts_standing": ahead.standing,
        "parts": ahead.parts,
        "rows": ahead.rows,
        "rows_reused": ahead.reused,
        "rows_exact": ahead.sure,
        "barrier": ahead.step.barrier,
        "cpus": ahead.step.node.needs.cpus,
        "gpus": ahead.step.node.needs.gpus,
    }
