"""One run from beginning to end: take the store, plan, record, execute, check the row_counts, report."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from manifests.manifest import FORMAT, newer
from manifests.store import Store
from manifests.stores import open_store
from pipeline.dag import Dag
from pipeline.engine.lease import Lease
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Effort
from pipeline.errors import StageWaits
from pipeline.executor import Executor, Watch
from pipeline.history.funnel import Funnel, funnel_of, lines_of
from pipeline.history.record import DONE, FAILED, STOPPED, WAITS, Record, new_run
from pipeline.history.run_history import Past, past_of
from pipeline.planning.plan import plan_of
from pipeline.planning.retry_errors import retry_errors
from pipeline.progress.progress import Lines
from pipeline.progress.stopwatch import Stopwatch
from pipeline.recipes.request import RunRequest, safe
from pipeline.report.card import write_cards
from pipeline.report.page import write_report

FORMAT_FILE = "store.json"
_LOG_S = 30.0  # between two lines of log.txt that say how far it is


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        rows: what each step cost in rows: worked, reused, resumed, redone.
        exit_code: 0 done; 1 done with rows set aside where that is asked to count; 130 stopped.
        warnings: sentences for the user.
        report: the path of the report, or "".
    """

    run: str
    store: str
    funnel: Funnel
    rows: Mapping[str, Effort]
    warnings: tuple[str, ...]
    exit_code: int
    report: str = ""


def carry_out(
    dag: Dag,
    store_url: str,
    *,
    executor: Executor,
    watch: Watch,
    asked: RunRequest,
    force: bool = False,
    strict: bool = False,
    retry: bool = False,
) -> Outcome:
    """Run a DAG in a store and leave a record of it.

    With `retry`, rows on which stages failed in earlier runs are worked on again.

    Raises:
        PlanError: the DAG cannot work as written.
        StoreHeld: another run holds the store, and `force` is not given.
        NewerFormat: the store was written by a newer clipmill.
        StageFailed, StageWaits, StoreFull, RowCountMismatch: as the executor; what is finished is kept.
    """
    store = opened(store_url)
    store.create(FORMAT_FILE, json.dumps({"format": FORMAT}).encode())
    run = new_run()
    with Lease(store, run, force=force):
        plan = plan_of(dag, store, run)
        failed = retry_errors(plan) if retry else {}
        plan = plan_of(dag, store, run) if failed else plan
        past, record, stopwatch = past_of(plan), Record(store, run), Stopwatch()
        record.begin(dag, past, asked)
        for name, rows in failed.items():
            record.log(f"{name}: {rows} rows on which it failed are worked on again")
        try:
            executor.run(plan, _All(stopwatch, Lines(record.log, _LOG_S), watch))
            funnel = funnel_of(past)
        except KeyboardInterrupt:
            return _stopped(past, record, stopwatch)
        except Exception as error:
            _failed(past, record, stopwatch, error)
            raise
        return _done(past, funnel, record, stopwatch, strict)


def opened(url: str) -> Store:
    """The store at a path or URL, whether or not anything is there. Writes nothing.

    Raises:
        NewerFormat: it was written by a newer clipmill.
    """
    store = open_store(url)
    try:
        seen = json.loads(store.read(FORMAT_FILE)).get("format", FORMAT)
    except (FileNotFoundError, ValueError):
        return store
    if seen > FORMAT:
        raise newer(f"{store.url}/{FORMAT_FILE}", seen)
    return store


class _All:
    """Several watches in the place of one."""

    def __init__(self, *watches: Watch) -> None:
        self.watches = watches

    def look(self, schedule: Schedule) -> None:
        for watch in self.watches:
            watch.look(schedule)


def _done(past: Past, funnel: Funnel, record: Record, stopwatch: Stopwatch, strict: bool) -> Outcome:
    warnings = _warnings(funnel)
    record.end(DONE, funnel, stopwatch.spent())
    report, told = _report(past, record)
    told = (*told, *_cards(past))
    for line in (*warnings, *told):
        record.log(f"warning: {line}")
    return Outcome(
        run=record.run,
        store=past.store.url,
        funnel=funnel,
        rows=stopwatch.effort,
        warnings=(*warnings, *told),
        exit_code=1 if strict and funnel.rejected else 0,
        report=report,
    )


def _stopped(past: Past, record: Record, stopwatch: Stopwatch) -> Outcome:
    funnel = Funnel(lines_of(past))
    record.end(STOPPED, funnel, stopwatch.spent())
    return Outcome(
        run=record.run,
        store=past.store.url,
        funnel=funnel,
        rows=stopwatch.effort,
        warnings=("stopped; every finished part is kept",),
        exit_code=130,
    )


def _failed(past: Past, record: Record, stopwatch: Stopwatch, error: Exception) -> None:
    """Note why, as far as the store can still be written."""
    try:
        state = WAITS if isinstance(error, StageWaits) else FAILED
        record.end(state, None, stopwatch.spent(), f"{type(error).__name__}: {error}")
        _report(past, record)
    except Exception as second:
        error.add_note(f"and the end could not be recorded: {type(second).__name__}: {second}")


def _report(past: Past, record: Record) -> tuple[str, tuple[str, ...]]:
    """The path of the report; or why there is none, for a report is never worth a run."""
    try:
        return write_report(past), ()
    except Exception as error:
        return "", (f"the report could not be written: {type(error).__name__}: {safe(str(error))}",)


def _cards(past: Past) -> tuple[str, ...]:
    """Write the cards of datasets; or say why not, for a card is never worth a run."""
    try:
        write_cards(past)
    except Exception as error:
        return (f"the dataset card could not be written: {type(error).__name__}: {safe(str(error))}",)
    return ()


def _warnings(funnel: Funnel) -> tuple[str, ...]:
    if not funnel.rejected:
        return ()
    steps = ", ".join(f"{line.step} {line.rejected:,}" for line in funnel.lines if line.rejected)
    rows = "row was" if funnel.rejected == 1 else "rows were"
    return (f"{funnel.rejected:,} {rows} set aside with a reason ({steps}); the report lists them",)
