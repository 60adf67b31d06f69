"""Runs a DAG in a store: acquire the lease, plan, record, execute, check the row counts, and report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.format import mark_store, open_checked_store
from pipeline.dag import Dag
from pipeline.engine.changed_code import ChangedCode, changed_code
from pipeline.engine.error_limit import ErrorLimit
from pipeline.engine.lease import Lease
from pipeline.engine.missing_files import missing_files
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import WorkCounts
from pipeline.errors import ClusterLost, PipelineError, StageWaits, TooManyErrors
from pipeline.executor import Executor, Observer
from pipeline.history.funnel import Funnel, funnel_lines, funnel_of
from pipeline.history.record import DONE, FAILED, STOPPED, WAITS, Record, new_run
from pipeline.history.run_history import RunHistory, history_of_plan
from pipeline.history.run_warnings import run_warnings
from pipeline.planning.plan import Plan, build_plan
from pipeline.planning.retry_errors import retry_errors as plan_retries
from pipeline.progress.lines import LineProgress
from pipeline.progress.outages import OutageLog
from pipeline.progress.planned import PlannedTime
from pipeline.progress.run_events import RunEvents
from pipeline.progress.stopping import exit_code_of_stop
from pipeline.progress.stopwatch import Stopwatch
from pipeline.recipes.redaction import redact_urls
from pipeline.recipes.request import RunRequest
from pipeline.report.card import write_cards
from pipeline.report.page import write_report

_LOG_S = 30.0  # seconds between two progress lines in log.txt, and between two updates of timings.json


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run.

    Attributes:
        run: Name of the run.
        store: URL of the store.
        funnel: Row counts of each step.
        rows: How many rows each step processed, reused, resumed and reprocessed.
        notes: What the user must know about the inputs, for example how many files are left out.
        warnings: Messages for the user; some have several lines.
        exit_code: 0: done. 1: more rows failed than `strict` or `max_error_share` allows, or Ray has ended.
            Above 128: stopped by a signal.
        report: Path of the report, or "" if it could not be written or the run was stopped.
        error: Why the exit code is 1, with the remedy; else "".
        seconds: Duration of the run in seconds.
        planned_s: Its duration as planned from earlier runs of the store; None if these timed too little.
    """

    run: str
    store: str
    funnel: Funnel
    rows: Mapping[str, WorkCounts]
    notes: tuple[str, ...]
    seconds: float
    planned_s: float | None
    warnings: tuple[str, ...] = ()
    exit_code: int = 0
    report: str = ""
    error: str = ""


def run_dag(
    dag: Dag,
    store_url: str,
    *,
    executor: Executor,
    observer: Observer,
    request: RunRequest,
    force: bool = False,
    strict: bool = False,
    max_error_share: float = 1.0,
    retry_errors: bool = False,
    accept_code: bool = False,
) -> RunResult:
    """Run a DAG in a store, and record the run there.

    Args:
        dag: The steps to run.
        store_url: Path or URL of the store.
        executor: Runs the plan.
        observer: Called while the run goes on, for example to display progress.
        request: The recipe and the knobs, for the record.
        force: Run even if another run holds the store.
        strict: Fail the run, with exit code 1, as soon as a row is rejected or failed.
        max_error_share: Fail the run, with exit code 1, once a stage has certainly failed on a larger share
            of the rows of its step, 0 to 1. Rejected rows do not count.
        retry_errors: Process the rows again on which stages failed in earlier runs.
        accept_code: Record that earlier results hold for stages whose code changed under the same version.

    Raises:
        PlanError: the DAG cannot run as written.
        StoreHeld: another run holds the store, and `force` is not given.
        OlderFormat, NewerFormat: another version of clipmill wrote the store.
        StageFailed, StageWaits, StoreFull, RowCountMismatch: see `Executor.run`; finished parts are kept.
    """
    store = open_checked_store(store_url)
    run = new_run()
    with Lease(store, run, force=force), Record(store, run) as record:
        mark_store(store)
        plan = build_plan(dag, store, run)
        failed = plan_retries(plan) if retry_errors else {}
        plan = build_plan(dag, store, run) if failed else plan
        history, stopwatch = history_of_plan(plan), Stopwatch()
        record.begin(dag, history, request)
        changed = changed_code(plan, accept=accept_code)
        _log_start(record, plan, history, failed, changed)
        limit = ErrorLimit(strict=strict, max_error_share=max_error_share)
        try:
            executor.run(plan, _observers(record, stopwatch, limit, observer))
            funnel = funnel_of(history)
        except (ClusterLost, TooManyErrors) as error:
            return _ended_early(history, record, stopwatch, error, changed)
        except KeyboardInterrupt:
            return _stopped(history, record, stopwatch, exit_code_of_stop())
        except Exception as error:
            _failed(history, record, stopwatch, error)
            raise
        return _done(history, funnel, record, stopwatch, request, changed)


def _log_start(
    record: Record, plan: Plan, history: RunHistory, failed: Mapping[str, int], changed: Sequence[ChangedCode]
) -> None:
    """Log what the user must know before the steps run."""
    for note in history.notes:
        record.log(f"note: {note}")
    for name, rows in failed.items():
        record.log(f"{name}: {rows} rows on which it failed are processed again")
    for name, parts in missing_files(plan).items():
        record.log(f"{name}: {sum(parts.values())} rows whose files were deleted are made again")
    for change in changed:
        record.warn(str(change))


def _observers(record: Record, stopwatch: Stopwatch, limit: ErrorLimit, observer: Observer) -> Observer:
    """All that observes a run. The stopwatch is first among those that read it, and the limit is last."""
    events, log, outages = RunEvents(record.events), LineProgress(record.log, _LOG_S), OutageLog(record.log)
    timings = _Timings(record, stopwatch)
    return _Observers(events, stopwatch, PlannedTime(stopwatch), log, timings, outages, observer, limit)


class _Timings:
    """Records the times of a run while it goes on."""

    def __init__(self, record: Record, stopwatch: Stopwatch) -> None:
        self.record, self.stopwatch = record, stopwatch
        self._next_s = time.monotonic() + _LOG_S

    def observe(self, schedule: Schedule) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _LOG_S
            self.record.update(self.stopwatch.to_json())


class _Observers:
    """Calls several observers."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def observe(self, schedule: Schedule) -> None:
        for observer in self.observers:
            observer.observe(schedule)


def _done(
    history: RunHistory,
    funnel: Funnel,
    record: Record,
    stopwatch: Stopwatch,
    request: RunRequest,
    changed: Sequence[ChangedCode],
) -> RunResult:
    result = _end(history, funnel, record, stopwatch, DONE)
    report, failures = _report(history, record)
    found = (*run_warnings(history, funnel, request), *failures, *_cards(history))
    for warning in found:
        record.warn(warning)
    return replace(result, warnings=(*map(str, changed), *found), report=report)


def _ended_early(
    history: RunHistory,
    record: Record,
    stopwatch: Stopwatch,
    error: PipelineError,
    changed: Sequence[ChangedCode],
) -> RunResult:
    """Record a run that ended before its plan was done; its report shows what exists."""
    text = f"{type(error).__name__}: {error}"
    result = _end(history, Funnel(funnel_lines(history)), record, stopwatch, FAILED, text)
    report, failures = _report(history, record)
    warnings = (*map(str, changed), *failures)
    return replace(result, warnings=warnings, exit_code=1, report=report, error=str(error))


def _stopped(history: RunHistory, record: Record, stopwatch: Stopwatch, exit_code: int) -> RunResult:
    result = _end(history, Funnel(funnel_lines(history)), record, stopwatch, STOPPED)
    return replace(result, warnings=("stopped; finished parts are kept",), exit_code=exit_code)


def _end(
    history: RunHistory, funnel: Funnel, record: Record, stopwatch: Stopwatch, state: str, error: str = ""
) -> RunResult:
    """Record how a run ended. Returns its result, without warnings and report."""
    record.end(state, funnel, stopwatch.to_json(), error)
    return RunResult(
        run=record.run,
        store=history.store.url,
        funnel=funnel,
        rows=stopwatch.work,
        notes=history.notes,
        seconds=stopwatch.elapsed_s,
        planned_s=stopwatch.planned_s,
    )


def _failed(history: RunHistory, record: Record, stopwatch: Stopwatch, error: Exception) -> None:
    """Record why the run failed, if the store can still be written."""
    try:
        state = WAITS if isinstance(error, StageWaits) else FAILED
        record.end(state, None, stopwatch.to_json(), f"{type(error).__name__}: {error}")
        _report(history, record)
    except Exception as second:
        error.add_note(f"also, the end of the run could not be recorded: {type(second).__name__}: {second}")


def _report(history: RunHistory, record: Record) -> tuple[str, tuple[str, ...]]:
    """Write the report. Returns its path, or a warning: a run does not fail because of its report."""
    try:
        return write_report(history), ()
    except Exception as error:
        return "", (f"the report could not be written: {type(error).__name__}: {redact_urls(str(error))}",)


def _cards(history: RunHistory) -> tuple[str, ...]:
    """Write the dataset cards. Returns a warning if that fails: a run does not fail because of a card."""
    try:
        write_cards(history)
    except Exception as error:
        return (f"the dataset card could not be written: {type(error).__name__}: {redact_urls(str(error))}",)
    return ()
