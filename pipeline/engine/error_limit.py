"""Stops a run in which too many rows failed: once that is certain, at the latest when a step is done."""

from manifests.table import RowCounts, part_name, read_row_counts
from pipeline.engine.schedule import Schedule
from pipeline.errors import TooManyErrors
from pipeline.history.formatting import format_rows
from pipeline.history.reasons import most_frequent_reason
from pipeline.planning.plan import Step


class ErrorLimit:
    """An observer that raises when the rows of a step exceed a limit.

    Args:
        strict: Whether one rejected or failed row is too many.
        max_error_share: Maximum share of the rows of a step on which its stage may fail, 0 to 1. 1 allows
            all. Rows that a stage rejects as invalid do not count.
    """

    def __init__(self, *, strict: bool = False, max_error_share: float = 1.0) -> None:
        self.strict, self.max_error_share = strict, max_error_share
        self._before: dict[str, RowCounts] | None = None

    def observe(self, schedule: Schedule) -> None:
        """Check all steps.

        Raises:
            TooManyErrors: a step exceeds the limit, whatever happens to its other rows.
        """
        if not self.strict and self.max_error_share >= 1:
            return
        if self._before is None:
            self._before = {step.name: _before_this_run(schedule, step) for step in schedule.plan}
        for step in schedule.plan:
            counts = self._row_counts(schedule, step)
            most = _most_rows(schedule, step, counts)
            if self.strict and counts.rejected:
                raise _error(schedule, step, counts, counts.rejected - counts.errors, "--strict allows none")
            if most is not None and counts.errors > self.max_error_share * most:
                share = f"--max-error-share allows {self.max_error_share:.3g} of at most {most:,} rows"
                raise _error(schedule, step, counts, 0, share)

    def _row_counts(self, schedule: Schedule, step: Step) -> RowCounts:
        """The row counts of all existing parts of a step, of this run and of earlier ones."""
        progress = schedule.steps[step.name]
        if progress.is_complete or self._before is None:
            return progress.row_counts
        return progress.row_counts + self._before[step.name]


def _before_this_run(schedule: Schedule, step: Step) -> RowCounts:
    """The row counts of the parts that existed before this run, of a table that is not complete."""
    progress = schedule.steps[step.name]
    if progress.is_complete or not progress.done_before:
        return RowCounts()
    store = schedule.plan.store
    each = (read_row_counts(store, f"{step.folder}/{part_name(n)}") for n in progress.done)
    return sum(each, RowCounts())


def _most_rows(schedule: Schedule, step: Step, counts: RowCounts) -> int | None:
    """How many rows can enter a step at most; None if it is unknown, because its input is not complete."""
    if schedule.steps[step.name].is_complete:
        return counts.rows_in
    if not step.node.inputs:
        return None
    base = schedule.steps[schedule.plan[step.node.inputs[0]].base]
    return base.row_counts.rows_out if base.is_complete else None


def _error(schedule: Schedule, step: Step, counts: RowCounts, refused: int, limit: str) -> TooManyErrors:
    store, numbers = schedule.plan.store, sorted(schedule.steps[step.name].done)
    parts = (read_row_counts(store, f"{step.folder}/{part_name(number)}") for number in numbers)
    found = [f"failed on {format_rows(counts.errors)}"] if counts.errors else []
    found += [f"rejected {format_rows(refused)}"] if refused else []
    again = "run again with --retry-errors" if counts.errors else "run again"
    reason = most_frequent_reason(store, step.folder, parts, errors=bool(counts.errors))
    return TooManyErrors(
        f"step {step.name} {' and '.join(found)}; {limit}",
        where=f"most frequent reason: {reason}",
        remedy=f"fix the cause and {again}, or allow more; finished parts are kept",
    )
