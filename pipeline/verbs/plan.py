"""clipmill plan: what a run would do, without writing anything."""

import json
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import add_recipe_arguments, parse_request

if TYPE_CHECKING:
    from pipeline.needs import Needs
    from pipeline.preview.forecast import StepForecast


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "plan",
        epilog="example:\n  clipmill plan stages/recipes/curate.py footage=films store=/data/store",
    )
    add_recipe_arguments(parser)
    parser.add_argument(
        "--retry-errors", action="store_true", help="plan a run that processes the rows again that failed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=plan)


def plan(args: Namespace) -> None:
    from manifests.format import open_checked_store
    from pipeline.engine.changed_code import changed_code
    from pipeline.planning.plan import build_plan
    from pipeline.planning.retry_errors import failed_rows
    from pipeline.preview.forecast import forecast

    request = parse_request(args)
    dag = request.dag()
    store = open_checked_store(request.store)
    planned = build_plan(dag, store, "plan")
    failed = failed_rows(planned)
    if args.retry_errors and failed:
        planned = build_plan(dag, store, "plan", {planned[name].keys.run for name in failed})
    steps = forecast(planned)
    if args.json:
        print(json.dumps([step_record(a) for a in steps], indent=1))
        return
    print(_table(steps, store.url))
    for change in changed_code(planned):
        print(f"warning: {change}")
    if failed and not args.retry_errors:
        counts = ", ".join(f"{name} {rows:,}" for name, rows in failed.items())
        print(f"rows on which a stage failed: {counts}; a run with --retry-errors processes them again")


def _table(steps: "list[StepForecast]", store: str) -> str:
    todo = [a for a in steps if not a.complete]
    last = f"{len(todo)} of {len(steps)} steps to do" if todo else "nothing to do: all tables are complete"
    notes = [f"note: {a.step.name}: {note}" for a in steps for note in a.step.notes()]
    return "\n".join([*step_lines(steps), "", *notes, f"{last} in {store}"])


def step_lines(steps: Sequence["StepForecast"]) -> Iterable[str]:
    """One line per step: what a run would do, and the resources it needs."""
    from pipeline.history.funnel import align_columns, describe_origin

    head = ("step", "parts", "rows to do", "rows reused", "per worker", "")
    rows = [
        (a.step.name, _parts(a), _rows(a), _reused(a), _needs(a), _note(a, describe_origin(a.step.made_by())))
        for a in steps
    ]
    return align_columns([head, *rows])


def _parts(forecast: "StepForecast") -> str:
    of = "?" if forecast.parts is None else str(forecast.parts)
    return "done" if forecast.complete else f"{forecast.existing_parts} of {of}"


def _rows(forecast: "StepForecast") -> str:
    if forecast.complete or not forecast.step.node.inputs:
        return "·" if forecast.complete else "to be listed"
    limit = "" if forecast.is_exact else "at most "
    return "unknown yet" if forecast.new is None else f"{limit}{forecast.new:,}"


def _reused(forecast: "StepForecast") -> str:
    return f"{forecast.reused:,}" if forecast.reused else "·"


def _needs(forecast: "StepForecast") -> str:
    needs: Needs = forecast.step.node.needs
    gpus = f" {needs.gpus:g} gpu" if needs.gpus else ""
    ranks = f" {needs.ranks} ranks" if needs.ranks > 1 else ""
    return "·" if forecast.complete else f"{needs.cpus:g} cpu{gpus}{ranks}"


def _note(forecast: "StepForecast", made: str) -> str:
    wait = "waits for all input rows" if forecast.step.is_barrier and not forecast.complete else ""
    rule = made if forecast.step.kind == "drops" else ""
    resumed = f"{forecast.resumed:,} rows resumed from a stopped run" if forecast.resumed else ""
    rows = "1 row lacks its file" if forecast.lacking == 1 else f"{forecast.lacking:,} rows lack their files"
    lacking = rows if forecast.lacking else ""
    return " · ".join(filter(None, [rule, wait, resumed, lacking]))


def step_record(forecast: "StepForecast") -> dict[str, Any]:
    """Return plain values for JSON."""
    return {
        "step": forecast.step.name,
        "kind": forecast.step.kind,
        "folder": forecast.step.folder,
        "complete": forecast.complete,
        "parts_done": forecast.existing_parts,
        "parts": forecast.parts,
        "rows": forecast.rows,
        "rows_reused": forecast.reused,
        "rows_resumed": forecast.resumed,
        "rows_lacking_files": forecast.lacking,
        "rows_exact": forecast.is_exact,
        "barrier": forecast.step.is_barrier,
        "cpus": forecast.step.node.needs.cpus,
        "gpus": forecast.step.node.needs.gpus,
        "notes": forecast.step.notes(),
    }
