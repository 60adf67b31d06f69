"""clipmill run: run a recipe in a store."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from manifests.column import Range
from pipeline.errors import RecipeError
from pipeline.recipes.request import RunRequest, add_recipe_arguments, format_command, parse_request

if TYPE_CHECKING:
    from pipeline.executor import Executor
    from pipeline.run import RunResult

DEFAULT_ROW_TIMEOUT_S = 21600  # a long video that cannot be split takes an hour or two
SIGNALED = 128  # higher exit codes: a signal stopped the run


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "run",
        description="Run a recipe. Finished parts of an earlier run are not computed again. With a RECIPE, "
        "--help also prints its knobs.",
        epilog="example:\n  clipmill run stages/recipes/curate.py footage=films store=/data/store",
    )
    add_recipe_arguments(parser)
    add_executor_options(parser)
    add_run_options(parser)
    parser.set_defaults(func=run)


def add_executor_options(parser: ArgumentParser) -> None:
    """Add the options that say where a run takes place and what it prints."""
    parser.add_argument("--inline", action="store_true", help="run in this process, without Ray")
    parser.add_argument(
        "--ray-address", metavar="ADDR", help="address of a running Ray cluster; also as ray_address=ADDR"
    )
    parser.add_argument("--json", action="store_true", help="print progress and results as lines of JSON")
    parser.add_argument("--quiet", action="store_true", help="print only errors and warnings")


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options that a run has wherever its driver runs."""
    parser.add_argument(
        "--workers",
        type=Range(0).argument(),
        default=0,
        metavar="N",
        help="CPU cores that Ray may use; 0 (default) uses all",
    )
    parser.add_argument("--force", action="store_true", help="run even if another run holds the store")
    parser.add_argument(
        "--retry-errors", action="store_true", help="process the rows again on which a stage failed"
    )
    parser.add_argument(
        "--accept-code",
        action="store_true",
        help="use earlier results of stages whose code changed under the same version, and warn no more",
    )
    parser.add_argument(
        "--row-timeout",
        type=Range(0).argument(float),
        default=DEFAULT_ROW_TIMEOUT_S,
        metavar="SECONDS",
        help="end a worker in which a row is not finished after so long, and reject the row the second time; "
        f"a batch has this time for each of its rows (default: {DEFAULT_ROW_TIMEOUT_S}; 0: never; not with "
        "--inline)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail, with exit code 1, as soon as a row is rejected or a stage fails on it",
    )
    parser.add_argument(
        "--max-error-share",
        type=Range(0, 1).argument(float),
        metavar="SHARE",
        help="fail, with exit code 1, once a stage has certainly failed on a larger share of the rows of its "
        "step, 0 to 1 (default: 1, never); rejected rows do not count; also as max_error_share=SHARE",
    )


def run(args: Namespace) -> int:
    return run_request(args, parse_request(args, args.command_line))


def run_request(args: Namespace, request: RunRequest) -> int:
    """Run a request with the options of `add_executor_options` and `add_run_options`: the exit code."""
    from pipeline.progress.display import progress_display
    from pipeline.progress.stopping import exit_code_of_stop, stopped_by_signals
    from pipeline.run import run_dag

    dag = request.dag()
    mode = "quiet" if args.quiet else "json" if args.json else ""
    try:
        with progress_display(mode) as display, stopped_by_signals(display) as observer:
            result = run_dag(
                dag,
                request.store,
                executor=_executor(args, request.ray_address),
                observer=observer,
                request=request,
                force=args.force,
                strict=args.strict,
                max_error_share=max_error_share(args, request),
                retry_errors=args.retry_errors,
                accept_code=args.accept_code,
            )
    except KeyboardInterrupt:  # before the run began, or a second time while it stopped
        print(f"stopped; continue with: {format_command(args.command_line)}", file=sys.stderr)
        return exit_code_of_stop()
    print_result(result, args.command_line, mode)
    return result.exit_code


def max_error_share(args: Namespace, request: RunRequest) -> float:
    """The maximum share of failed rows, from the option or from `max_error_share=SHARE`; 1 allows all."""
    if args.max_error_share is not None or not request.max_error_share:
        return 1.0 if args.max_error_share is None else float(args.max_error_share)
    try:
        return Range(0, 1).argument(float)(request.max_error_share)
    except ArgumentTypeError as error:
        raise RecipeError(f"max_error_share: {error}", remedy="for example max_error_share=0.01") from None


def _executor(args: Namespace, ray_address: str) -> "Executor":
    if args.inline:
        from pipeline.executors.inline import Inline

        return Inline()
    from pipeline.executors.on_ray import OnRay

    options = {"debug": args.debug, "row_timeout_s": args.row_timeout}
    return OnRay(ray_address or None, args.workers, **options)


def print_result(result: "RunResult", command_line: Sequence[str], mode: str = "") -> None:
    """Print the summary of a run. The `mode` may be "json" or "quiet"."""
    from pipeline.history.funnel import wrap_line

    if mode == "json":
        head = {"run": result.run, "store": result.store, "exit_code": result.exit_code}
        rows = {name: asdict(effort) for name, effort in result.rows.items()}
        more = {
            "notes": result.notes,
            "warnings": result.warnings,
            "error": result.error,
            "seconds": round(result.seconds, 3),
            "planned_s": None if result.planned_s is None else round(result.planned_s, 3),
            "report": result.report,
            **result.funnel.as_dict(),
        }
        print(json.dumps({**head, "rows": rows, **more}, ensure_ascii=False))
    elif mode != "quiet":
        print(f"\n{result.funnel.table()}\n\n{_work(result)}")
        print(f"{_time(result)}\nrun     {result.run}\nstore   {result.store}")
        print(f"report  {result.report or 'none'}")
        for note in result.notes:
            print(f"note    {note}")
    for warning in result.warnings:
        line = f"warning: {warning}"
        print(line if "\n" in line else "\n".join(wrap_line(line)), file=sys.stderr)
    if result.error:
        print(f"error: {result.error}", file=sys.stderr)
    if result.exit_code > SIGNALED:
        print(f"continue with: {format_command(command_line)}", file=sys.stderr)


def _time(result: "RunResult") -> str:
    """The duration of the run, and how long it was planned to take."""
    from pipeline.history.formatting import format_long_duration

    planned = f"planned {format_long_duration(result.planned_s)}, " if result.planned_s else ""
    return f"time    {planned}took {format_long_duration(result.seconds)}"


def _work(result: "RunResult") -> str:
    """Rows processed, copied and resumed by the run, summed over all steps."""
    from pipeline.history.formatting import format_rows

    efforts = result.rows.values()
    parts = [f"{format_rows(sum(e.processed for e in efforts))} processed"]
    reused, resumed = sum(e.reused for e in efforts), sum(e.resumed for e in efforts)
    parts += [f"{reused:,} copied from earlier tables"] if reused else []
    parts += [f"{resumed:,} resumed from a stopped run"] if resumed else []
    divided = [name for name, effort in result.rows.items() if effort.divided]
    parts += [f"smaller batches for lack of memory in {', '.join(divided)}"] if divided else []
    return f"work    {', '.join(parts)}"
