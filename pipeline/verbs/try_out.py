"""clipmill try: what other knob values would do to the rows of the last finished run; nothing is written."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from manifests.column import Range
from pipeline.recipes.request import add_recipe_arguments, parse_request

if TYPE_CHECKING:
    from pipeline.preview.borderline import Borderline, Example, Outcome
    from pipeline.preview.what_if import TableChanges, WhatIf

_MAX_CHANGES = 12


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "try",
        description="Compare other knob values with the newest finished run of the recipe, without writing "
        "anything: which rows would be dropped or kept, by which rule, and which rows are nearest to a "
        "changed threshold. If the recipe was not run, it is compared with a run of a recipe with the same "
        "DAG name, such as the one that a YAML recipe was printed from, or else with the newest run. Knobs "
        "that are not named keep the values of that run. Rules and quick stages are computed in memory. Rows "
        "that first need an expensive stage are counted as unknown.",
        epilog="example:\n  clipmill try stages/recipes/curate.py store=/data/store max_noise=2",
    )
    add_recipe_arguments(parser)
    parser.add_argument(
        "--run", default="", metavar="RUN", help="compare with this run (default: the newest finished run)"
    )
    parser.add_argument(
        "--examples",
        type=Range(0).argument(),
        default=3,
        metavar="N",
        help="rows to print on each side of a threshold (default 3)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=try_out)


def try_out(args: Namespace) -> None:
    from manifests.format import open_checked_store
    from pipeline.preview.what_if import what_if

    request = parse_request(args)
    result = what_if(open_checked_store(request.store), request, args.run, args.examples)
    print(
        json.dumps(_plain(result), indent=1, ensure_ascii=False) if args.json else "\n".join(_lines(result))
    )


def _lines(result: "WhatIf") -> list[str]:
    from pipeline.verbs.plan import step_lines

    changed = ", ".join(f"{name}={now} (was {before})" for name, (before, now) in result.knobs.items())
    lines = [f"{changed or 'no knob is changed'}, compared with run {result.run}", ""]
    for changes in result.tables:
        lines += [*_outcome_counts(changes), "", *_changes(changes), ""]
        for borderline in changes.borderlines:
            lines += [*_borderline_lines(borderline), ""]
    if not result.tables:
        lines += ["no row would change", ""]
    todo = [step for step in result.steps if not step.complete]
    lines += (
        ["a run with these knobs would do:", *step_lines(todo)]
        if todo
        else ["a run with these knobs has nothing to do: all tables exist"]
    )
    return lines


def _outcome_counts(changes: "TableChanges") -> list[str]:
    from pipeline.history.funnel import align_columns

    before, after = changes.outcome_counts(0), changes.outcome_counts(1)
    waiting = [(step, after.pop((kind, step))) for kind, step in [*after] if kind == "kept" and step]
    if waiting:
        after["kept", ""] += sum(count for _, count in waiting)
    removed, added = dict.fromkeys(before, 0), dict.fromkeys(after, 0)
    for (one, two), count in changes.changes():
        if one in removed:
            removed[one] += count
        now = two if two in added else ("kept", "")
        if now in added:
            added[now] += count
    head = (f"rows of {changes.base}", "before", "after", "added", "removed", "")
    rows = [
        (
            _outcome_text(f),
            _count(before[f]),
            _count(after[f]),
            _count(added.get(f, 0)),
            _count(removed.get(f, 0)),
            "",
        )
        for f in sorted({*before, *after}, key=lambda outcome: (_ORDER.index(outcome[0]), outcome[1]))
    ]
    total = ("all", _count(before.total()), _count(after.total()), "", "", "")
    pending = [f"  {count:,} of the kept rows still have to pass {step}" for step, count in waiting]
    incomplete = (
        ["  not counted: rows made from rows that have to be expanded first"] if changes.is_incomplete else []
    )
    return [*align_columns([head, *rows, total]), *pending, *incomplete]


_ORDER = ("kept", "unknown", "dropped", "rejected", "absent")


def _changes(changes: "TableChanges") -> list[str]:
    from pipeline.history.funnel import align_columns

    changed = changes.changes()
    if not changed:
        return ["  no row changes"]
    rows = [
        (f"  {_outcome_text(one)}", f"{count:,}", f"now {_outcome_text(two)}")
        for (one, two), count in changed
    ]
    more = (
        [f"  and {len(changed) - _MAX_CHANGES} more kinds of changes"] if len(changed) > _MAX_CHANGES else []
    )
    return [*align_columns([("was", "rows", ""), *rows[:_MAX_CHANGES]]), *more]


def _borderline_lines(borderline: "Borderline") -> list[str]:
    from pipeline.history.funnel import align_columns

    was = f" (was {borderline.previous})" if borderline.previous else ""
    head = f"{borderline.step}: keep {borderline.where}{was}"
    found = [*reversed(borderline.dropped), *borderline.kept]
    if not borderline.thresholds:
        return [
            head,
            "  the rule does not compare one column with numbers, so no row is nearest to its threshold",
        ]
    rows = [_example(example) for example in found]
    return (
        [head, *align_columns([("  id", borderline.column, "", "was", "source"), *rows])] if rows else [head]
    )


def _example(example: "Example") -> tuple[str, ...]:
    from pipeline.history.formatting import printable

    times = " ".join(f"{name}={value:.2f}" for name, value in example.times.items() if value is not None)
    now = "kept" if example.kept else "dropped"
    place = f"{printable(example.source)} {times}".strip()
    return f"  {example.id}", f"{example.value:.6g}", now, _outcome_text(example.before), place


def _outcome_text(outcome: "Outcome") -> str:
    kind, step = outcome
    texts = {
        "kept": f"kept, if {step} accepts it" if step else "kept",
        "absent": "not present",
        "unknown": f"unknown until {step} has run",
        "dropped": f"dropped by {step}",
        "rejected": f"rejected by {step}",
    }
    return texts[kind]


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"


def _plain(result: "WhatIf") -> dict[str, Any]:
    from pipeline.verbs.plan import step_record

    return {
        "run": result.run,
        "knobs": {name: {"before": pair[0], "after": pair[1]} for name, pair in result.knobs.items()},
        "tables": [_plain_table(changes) for changes in result.tables],
        "steps": [step_record(each) for each in result.steps],
    }


def _plain_table(changes: "TableChanges") -> dict[str, Any]:
    def outcome(found: "Outcome") -> dict[str, str]:
        return {"outcome": found[0], "step": found[1]}

    transitions = [
        {"before": outcome(one), "after": outcome(two), "rows": n}
        for (one, two), n in changes.transitions.items()
    ]
    borderlines = [
        {
            "step": borderline.step,
            "keep": borderline.where,
            "was": borderline.previous,
            "column": borderline.column,
            "thresholds": borderline.thresholds,
            "examples": [
                {**vars(e), "before": outcome(e.before)} for e in (*borderline.dropped, *borderline.kept)
            ],
        }
        for borderline in changes.borderlines
    ]
    return {
        "rows_of": changes.base,
        "is_incomplete": changes.is_incomplete,
        "before": [{**outcome(found), "rows": count} for found, count in changes.outcome_counts(0).items()],
        "after": [{**outcome(found), "rows": count} for found, count in changes.outcome_counts(1).items()],
        "transitions": transitions,
        "borderlines": borderlines,
    }
