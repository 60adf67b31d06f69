"""clipmill plan: what a run would do, without writing anything."""

import json
import textwrap
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import add_recipe_arguments, parse_request

if TYPE_CHECKING:
    from pipeline.needs import Needs
    from pipeline.preview.costs import Costs, StepCost
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
    from pipeline.history.funnel import wrap_line
    from pipeline.planning.plan import build_plan
    from pipeline.planning.retry_errors import failed_rows
    from pipeline.preview.costs import costs_of
    from pipeline.preview.forecast import forecast

    request = parse_request(args)
    dag = request.dag()
    store = open_checked_store(request.store)
    planned = build_plan(dag, store, "plan")
    failed = failed_rows(planned)
    if args.retry_errors and failed:
        planned = build_plan(dag, store, "plan", {planned[name].keys.run for name in failed})
    steps = forecast(planned)
    costs = costs_of(planned, steps)
    if args.json:
        print(json.dumps([step_record(a, costs.steps[a.step.name]) for a in steps], indent=1))
        return
    print("\n".join([*step_lines(steps, costs), "", *_summary(steps, costs, store.url)]))
    for change in changed_code(planned):
        print("\n".join(wrap_line(f"warning: {change}")))
    if failed and not args.retry_errors:
        counts = ", ".join(f"{name} {rows:,}" for name, rows in failed.items())
        print(f"rows on which a stage failed: {counts}; a run with --retry-errors processes them again")


def step_lines(steps: Sequence["StepForecast"], costs: "Costs | None" = None) -> Iterable[str]:
    """One line per step: on how many rows it has to run, how many are reused, and what that costs."""
    from pipeline.history.funnel import align_columns

    head = ("step", "new", "re-used", "video", "time", "per worker", "")
    rows = [_cells(found, costs.steps[found.step.name] if costs else _rows_only(found)) for found in steps]
    used = [i for i, name in enumerate(head) if name in ("step", "new", "") or any(r[i] != "·" for r in rows)]
    return align_columns([tuple(row[i] for i in used) for row in (head, *rows)])


def _cells(found: "StepForecast", cost: "StepCost") -> tuple[str, ...]:
    from pipeline.history.formatting import format_duration

    if found.complete:
        return found.step.name, "done", "·", "·", "·", "·", ""
    reused = found.reused
    return (
        found.step.name,
        _new(cost),
        f"{reused:,}" if reused else "·",
        _video(cost.video_s) if cost.video_s else "·",
        format_duration(cost.seconds) if cost.seconds and cost.seconds >= 1 else "·",
        _needs(found) if cost.rows != 0 and found.step.kind not in ("source", "drops") else "·",
        _note(found),
    )


def _rows_only(found: "StepForecast") -> "StepCost":
    """The rows of a forecast as an upper limit, without costs."""
    from pipeline.preview.costs import StepCost

    return StepCost(rows=found.new, is_exact=found.is_exact)


def _new(cost: "StepCost") -> str:
    """The rows on which a step has to run; "about 24" if they follow from the shares of other rows."""
    if cost.rows is None:
        return "unknown yet"
    return f"{cost.rows:,.0f}" if cost.is_exact else f"about {cost.rows:,.0f}"


def _video(seconds: float) -> str:
    """Hours of video; below an hour, minutes and seconds."""
    from pipeline.history.formatting import format_long_duration

    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else format_long_duration(seconds)


def _needs(forecast: "StepForecast") -> str:
    needs: Needs = forecast.step.node.needs
    gpus = f" {needs.gpus:g} gpu" if needs.gpus else ""
    ranks = f" {needs.ranks} ranks" if needs.ranks > 1 else ""
    return f"{needs.cpus:g} cpu{gpus}{ranks}"


def _note(forecast: "StepForecast") -> str:
    resumed = f"{forecast.resumed:,} resumed from a stopped run" if forecast.resumed else ""
    lacking = f"{forecast.lacking:,} whose files were deleted" if forecast.lacking else ""
    return " · ".join(filter(None, [resumed, lacking]))


def _summary(steps: Sequence["StepForecast"], costs: "Costs", store: str) -> list[str]:
    """What the run will cost in all, and what is unknown."""
    from pipeline.history.formatting import format_bytes, format_long_duration

    todo = [a for a in steps if not a.complete]
    notes = [f"note: {a.step.name}: {note}" for a in steps for note in a.step.notes()]
    if not todo:
        return [*notes, f"nothing to do: all tables are complete in {store}"]
    lines = [*notes, f"{len(todo)} of {len(steps)} steps to do in {store}"]
    video_s = costs.total("video_s")
    if video_s:
        read, written = format_bytes(costs.total("bytes_read")), format_bytes(costs.total("bytes_written"))
        lines.append(f"video   about {_video(video_s)} to decode")
        lines.append(f"bytes   about {read} of source files to read, {written} of files to write")
    if costs.seconds:
        runs = "1 earlier run" if costs.runs == 1 else f"{costs.runs} earlier runs"
        more = "more than" if costs.not_timed else "about"
        lines.append(f"time    {more} {format_long_duration(costs.seconds)}, as in {runs} of this store")
    if costs.not_timed and costs.runs:
        lines += textwrap.wrap(
            f"        not timed yet: {', '.join(costs.not_timed)}", 79, subsequent_indent=" " * 8
        )
    return lines


def step_record(forecast: "StepForecast", cost: "StepCost | None" = None) -> dict[str, Any]:
    """Return plain values for JSON: the forecast of a step, and what it will cost (null: unknown)."""
    costs = {} if cost is None else {f"expected_{name}": value for name, value in asdict(cost).items()}
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
        **costs,
    }
