"""Estimates the remaining time of a run from what each step has done so far. Pure: it reads no clock.

A step gets those rows of its input that pass the steps before it, at the shares observed so far; a step that
makes rows passes on several for each. A row costs what the rows of the step have cost so far, else what they
cost in earlier runs of the store. Where neither is known, the step counts as not timed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.history.formatting import format_duration

_MIN_SHARE = 0.02  # of a launch: before that, its first steps (compiling, filling buffers) mislead


@dataclass(frozen=True, kw_only=True)
class StepSoFar:
    """What a step has done so far.

    Attributes:
        name: Name of the step.
        inputs: Names of the steps before it.
        is_rule: Whether it is a rule, which costs nothing worth estimating.
        is_launch: Whether it is one program for all rows, which runs alone.
        is_complete: Whether its table is complete.
        rows_in: Rows that entered the parts of this run; of a complete table, of all parts.
        rows_out: Rows that these parts passed on; if the step makes rows, the new ones.
        rows_running: Rows of running parts that are finished.
        share_before: Share of its parts that existed before this run, 0 to 1.
        processed: Rows of `rows_in` and `rows_running` on which the stage ran, and that were not copied.
        busy_s: Seconds of work of all its workers on `processed`, or of a launch so far.
        parts_left: Number of parts that do not exist yet: no more workers than that can help.
        share_done: Share of a launch that is done, 0 to 1; 0 if it is unknown.
    """

    name: str
    inputs: tuple[str, ...] = ()
    is_rule: bool = False
    is_launch: bool = False
    is_complete: bool = False
    rows_in: int = 0
    rows_out: int = 0
    rows_running: int = 0
    share_before: float = 0.0
    processed: int = 0
    busy_s: float = 0.0
    parts_left: int = 1
    share_done: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """The remaining time of a run.

    Attributes:
        seconds: Remaining seconds of the steps whose cost is known; None if none of them is known.
        not_timed: Names of the other steps that are left. Because of them, the run takes longer.
    """

    seconds: float | None
    not_timed: tuple[str, ...] = ()

    def text(self) -> str:
        """The estimate in a few words; "" if there is none."""
        if self.seconds is None or self.seconds < 1:
            return ""
        if self.not_timed:
            steps = "1 step" if len(self.not_timed) == 1 else f"{len(self.not_timed)} steps"
            return f"more than {format_duration(self.seconds)} left ({steps} not timed yet)"
        return f"about {format_duration(self.seconds)} left"


def estimate_remaining(
    steps: Iterable[StepSoFar],
    workers: float,
    earlier_row_s: Mapping[str, float] | None = None,
    earlier_rates: Mapping[str, float] | None = None,
) -> Estimate:
    """Estimate the remaining time of a run.

    Args:
        steps: All steps, each after its inputs.
        workers: How many workers are busy at a time, on average.
        earlier_row_s: Seconds of work for one row by step, from earlier runs; for a launch, its seconds.
        earlier_rates: Rows that a step passed on for each row that entered it, by step, from earlier runs.
    """
    earlier_row_s, earlier_rates = earlier_row_s or {}, earlier_rates or {}
    rows_out: dict[str, float | None] = {}
    parallel: list[tuple[float, int]] = []
    serial_s, not_timed = 0.0, []
    for step in steps:
        rows = _expected_rows(step, rows_out)
        rows_out[step.name] = _expected_out(step, rows, earlier_rates.get(step.name))
        if step.is_complete or step.is_rule:
            continue
        seconds = _seconds_left(step, rows, earlier_row_s.get(step.name))
        if seconds is None:
            not_timed.append(step.name)
        elif step.is_launch:
            serial_s += seconds
        else:
            parallel.append((seconds, step.parts_left))
    if not parallel and not serial_s:
        return Estimate(None if not_timed else 0.0, tuple(not_timed))
    workers = max(workers, 1.0)
    longest = max((seconds / min(workers, max(parts, 1)) for seconds, parts in parallel), default=0.0)
    shared = sum(seconds for seconds, _ in parallel) / workers
    return Estimate(max(shared, longest) + serial_s, tuple(not_timed))


def _expected_rows(step: StepSoFar, rows_out: Mapping[str, float | None]) -> float | None:
    """How many rows will enter a step; None if it is unknown."""
    before = [rows_out[name] for name in step.inputs if name in rows_out]
    known = [rows for rows in before if rows is not None]
    return min(known) if before and len(known) == len(before) else None


def _expected_out(step: StepSoFar, rows: float | None, earlier_rate: float | None) -> float | None:
    """How many rows a step will pass on, at the rate so far; None if it is unknown."""
    if step.is_complete or (not step.inputs and step.rows_out):
        return step.rows_out
    if step.is_launch:
        return 1.0
    rate = step.rows_out / step.rows_in if step.rows_in else earlier_rate
    if not rows:
        return rows
    return None if rate is None else rows * rate


def _seconds_left(step: StepSoFar, rows: float | None, earlier_row_s: float | None) -> float | None:
    if step.is_launch:
        if step.share_done >= _MIN_SHARE:
            return step.busy_s * (1 - step.share_done) / step.share_done
        return None if earlier_row_s is None else max(earlier_row_s - step.busy_s, 0.0)
    if not step.inputs:
        return 0.0 if step.rows_out else None
    if rows is None:
        return None
    finished = step.rows_in + step.rows_running
    left = max(rows * (1 - step.share_before) - finished, 0.0)
    if finished:  # of the other rows, as many are copied from earlier tables
        left *= step.processed / finished
    row_s = step.busy_s / step.processed if step.processed else earlier_row_s
    if not left:
        return 0.0
    return None if row_s is None else left * row_s
