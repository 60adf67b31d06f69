"""clipmill try: what a changed knob would do to the rows of the last finished run. Nothing is written."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import add_words, asked

if TYPE_CHECKING:
    from pipeline.preview.borderline import Border, Example, Fate
    from pipeline.preview.what_if import Trial, Tried

_MOVES_SHOWN = 12


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "try",
        help="say what a changed knob would do to the last run's rows",
        description="Compares with the newest finished run of the recipe: who would newly be dropped or "
        "kept, by which rule, and which rows are nearest to a changed threshold. Knobs that are not named "
        "are as in that run. Rules are decided, and stages asked that work from the store alone or compare "
        "few rows; what a dearer stage would have to say first is counted as open.",
    )
    add_words(parser)
    parser.add_argument("--run", default="", metavar="RUN", help="compare with this run")
    parser.add_argument(
        "--examples", type=int, default=3, metavar="N", help="rows to show on each side of a threshold"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(act=try_out)


def try_out(args: Namespace) -> None:
    from pipeline.preview.what_if import try_out as look
    from pipeline.run import opened

    wish = asked(args)
    trial = look(opened(wish.store), wish, args.run, max(0, args.examples))
    print(json.dumps(_plain(trial), indent=1, ensure_ascii=False) if args.json else "\n".join(_lines(trial)))


def _lines(trial: "Trial") -> list[str]:
    from pipeline.verbs.plan import to_do

    turned = ", ".join(f"{name}={now} (was {before})" for name, (before, now) in trial.knobs.items())
    lines = [f"{turned or 'no knob is changed'}, against run {trial.run}", ""]
    for tried in trial.tables:
        lines += [*_sums(tried), "", *_moves(tried), ""]
        for border in tried.borders:
            lines += [*_border(border), ""]
    if not trial.tables:
        lines += ["no row would fare otherwise", ""]
    todo = [ahead for ahead in trial.aheads if not ahead.whole]
    lines += (
        ["to make it so, a run would do:", *to_do(todo)] if todo else ["every table of it stands already"]
    )
    return lines


def _sums(tried: "Tried") -> list[str]:
    from pipeline.history.funnel import aligned

    before, after = tried.sums(0), tried.sums(1)
    waiting = [(step, after.pop((kind, step))) for kind, step in [*after] if kind == "kept" and step]
    if waiting:
        after["kept", ""] += sum(count for _, count in waiting)
    gone, came = dict.fromkeys(before, 0), dict.fromkeys(after, 0)
    for (one, two), count in tried.moved():
        if one in gone:
            gone[one] += count
        now = two if two in came else ("kept", "")
        if now in came:
            came[now] += count
    head = (f"rows of {tried.base}", "before", "after", "newly", "no more", "")
    rows = [
        (_said(f), _count(before[f]), _count(after[f]), _count(came.get(f, 0)), _count(gone.get(f, 0)), "")
        for f in sorted({*before, *after}, key=lambda fate: (_ORDER.index(fate[0]), fate[1]))
    ]
    total = ("all", _count(before.total()), _count(after.total()), "", "", "")
    takes = [f"  {count:,} of those kept, if {step} takes them" for step, count in waiting]
    most = ["  and children of rows that would have to be expanded first"] if tried.lacking else []
    return [*aligned([head, *rows, total]), *takes, *most]


_ORDER = ("kept", "open", "dropped", "rejected", "absent")


def _moves(tried: "Tried") -> list[str]:
    from pipeline.history.funnel import aligned

    moved = tried.moved()
    if not moved:
        return ["  no row moves"]
    rows = [(f"  {_said(one)}", f"{count:,}", f"now {_said(two)}") for (one, two), count in moved]
    more = [f"  and {len(moved) - _MOVES_SHOWN} more kinds of moves"] if len(moved) > _MOVES_SHOWN else []
    return [*aligned([("was", "rows", ""), *rows[:_MOVES_SHOWN]]), *more]


def _border(border: "Border") -> list[str]:
    from pipeline.history.funnel import aligned

    was = f" (was {border.was})" if border.was else ""
    head = f"{border.step}: keep {border.where}{was}"
    found = [*reversed(border.dropped), *border.kept]
    if not border.thresholds:
        return [head, "  it does not compare one column with numbers, so no row is nearest to it"]
    rows = [_example(example) for example in found]
    return [head, *aligned([("  id", border.column, "", "was", "source"), *rows])] if rows else [head]


def _example(example: "Example") -> tuple[str, ...]:
    from pipeline.history.wording import printable

    times = " ".join(f"{name}={value:.2f}" for name, value in example.times.items() if value is not None)
    now = "kept" if example.kept else "dropped"
    place = f"{printable(example.source)} {times}".strip()
    return f"  {example.id}", f"{example.value:.6g}", now, _said(example.before), place


def _said(fate: "Fate") -> str:
    kind, step = fate
    words = {
        "kept": f"kept, if {step} takes it" if step else "kept",
        "absent": "not there",
        "open": f"open until {step} has run",
        "dropped": f"dropped by {step}",
        "rejected": f"rejected by {step}",
    }
    return words[kind]


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"


def _plain(trial: "Trial") -> dict[str, Any]:
    from pipeline.verbs.plan import plain

    return {
        "run": trial.run,
        "knobs": {name: {"before": pair[0], "after": pair[1]} for name, pair in trial.knobs.items()},
        "tables": [_plain_table(tried) for tried in trial.tables],
        "steps": [plain(ahead) for ahead in trial.aheads],
    }


def _plain_table(tried: "Tried") -> dict[str, Any]:
    def fate(found: "Fate") -> dict[str, str]:
        return {"fate": found[0], "step": found[1]}

    moves = [{"before": fate(one), "after": fate(two), "rows": n} for (one, two), n in tried.moves.items()]
    borders = [
        {
            "step": border.step,
            "keep": border.where,
            "was": border.was,
            "column": border.column,
            "thresholds": border.thresholds,
            "examples": [{**vars(e), "before": fate(e.before)} for e in (*border.dropped, *border.kept)],
        }
        for border in tried.borders
    ]
    return {
        "rows_of": tried.base,
        "lacking": tried.lacking,
        "before": [{**fate(found), "rows": count} for found, count in tried.sums(0).items()],
        "after": [{**fate(found), "rows": count} for found, count in tried.sums(1).items()],
        "moves": moves,
        "borders": borders,
    }
