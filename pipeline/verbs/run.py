"""clipmill run: carry out a recipe in a store."""

import json
import signal
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import add_words, again, asked

if TYPE_CHECKING:
    from pipeline.engine.schedule import Schedule
    from pipeline.executor import Executor, Watch
    from pipeline.run import Outcome

STOPPED = 130  # the exit code after Ctrl-C


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("run", help="run a recipe; go on from whatever is done already")
    add_words(parser)
    parser.add_argument("--inline", action="store_true", help="in this process, without Ray")
    parser.add_argument(
        "--ray-address", metavar="ADDR", help="a Ray cluster that runs already; also ray_address=ADDR"
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="cores to use of this machine; 0: all"
    )
    parser.add_argument("--force", action="store_true", help="run even if another run holds the store")
    parser.add_argument(
        "--retry-errors", action="store_true", help="work again on the rows that a stage failed on"
    )
    parser.add_argument("--strict", action="store_true", help="end with 1 if any row was set aside")
    parser.add_argument("--json", action="store_true", help="progress and outcome as lines of JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors and warnings")
    parser.set_defaults(act=run)


def run(args: Namespace) -> int:
    from pipeline.progress.progress import watching
    from pipeline.run import carry_out

    wish = asked(args, args.words_typed)
    dag = wish.dag()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with watching("quiet" if args.quiet else "json" if args.json else "") as watch:
            outcome = carry_out(
                dag,
                wish.store,
                executor=_executor(args, wish.ray_address),
                watch=_Stoppable(watch),
                asked=wish,
                force=args.force,
                strict=args.strict,
                retry=args.retry_errors,
            )
    except KeyboardInterrupt:  # before the run had begun, or again while it ended
        print(f"stopped; go on with: {again(args.words_typed)}", file=sys.stderr)
        return STOPPED
    finally:
        signal.signal(signal.SIGTERM, before)
    _tell(outcome, args)
    return outcome.exit_code


def _executor(args: Namespace, ray_address: str) -> "Executor":
    if args.inline:
        from pipeline.executors.inline import Inline

        return Inline()
    from pipeline.executors.on_ray import OnRay

    return OnRay(address=ray_address or None, workers=args.workers)


class _Stoppable:
    """A watch that makes SIGTERM stop the run as Ctrl-C does; again at each look, for Ray takes it over."""

    def __init__(self, inner: "Watch") -> None:
        self.inner = inner
        signal.signal(signal.SIGTERM, self.stop)

    def look(self, schedule: "Schedule") -> None:
        signal.signal(signal.SIGTERM, self.stop)
        self.inner.look(schedule)

    def stop(self, *_: object) -> None:
        raise KeyboardInterrupt


def _tell(outcome: "Outcome", args: Namespace) -> None:
    if args.json:
        said = {"run": outcome.run, "store": outcome.store, "exit_code": outcome.exit_code}
        rows = {name: asdict(effort) for name, effort in outcome.rows.items()}
        more = {"warnings": outcome.warnings, "report": outcome.report, **outcome.funnel.plain()}
        print(json.dumps({**said, "rows": rows, **more}, ensure_ascii=False))
    elif not args.quiet:
        print(f"\n{outcome.funnel.table()}\n\n{_work(outcome)}")
        print(f"run     {outcome.run}\nstore   {outcome.store}")
        print(f"report  {outcome.report or 'none'}")
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if outcome.exit_code == STOPPED:
        print(f"go on with: {again(args.words_typed)}", file=sys.stderr)


def _work(outcome: "Outcome") -> str:
    """What the run cost, in rows of all steps together."""
    efforts = outcome.rows.values()
    said = [f"{sum(e.worked for e in efforts):,} rows worked on"]
    reused, resumed = sum(e.reused for e in efforts), sum(e.resumed for e in efforts)
    said += [f"{reused:,} copied from earlier tables"] if reused else []
    said += [f"{resumed:,} taken over from a run that was stopped"] if resumed else []
    return f"work    {', '.join(said)}"
