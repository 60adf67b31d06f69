"""Runs the steps that need less time than processes need to start: rules, `expand_many`, and no rows."""

import time

from pipeline.dag import Keep
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.expand_many import has_expand_many
from pipeline.engine.worker import Worker
from pipeline.executor import Observer
from pipeline.planning.plan import Plan, Step

_MAX_S = 10.0  # twice the start time of a cluster; the work that is left then is worth a cluster
_MAX_PARTS = 32  # parts without rows; workers make more of them at the same time


def run_quick_steps(plan: Plan, schedule: Schedule, observer: Observer) -> None:
    """Run the ready tasks of quick steps in this process, for a limited time."""
    quick = [s.name for s in plan if isinstance(s.node.work, Keep) or has_expand_many(s.node.work)]
    worker = Worker(plan)
    started = time.monotonic()
    while time.monotonic() < started + _MAX_S:
        task = schedule.take(quick) if quick else None
        if task is None:
            return
        observer.observe(schedule)
        schedule.finish(task, worker.run(task))


def run_steps_without_rows(plan: Plan, schedule: Schedule) -> None:
    """Run the ready tasks of steps that no row reaches in this process. Their stages are not opened."""
    worker = Worker(plan, opens=False)
    while names := [step.name for step in plan if _has_no_rows(schedule, step)]:
        if schedule.to_close and schedule.to_close[0].step not in names:
            return  # a table with rows is closed by a worker, and first
        task = schedule.take(names)
        if task is None:
            return
        schedule.finish(task, worker.run(task))


def _has_no_rows(schedule: Schedule, step: Step) -> bool:
    """Whether a step is not complete, and all steps that it reads are, without any row that passed."""
    progress = schedule.steps[step.name]
    if progress.is_complete or step.kind in ("source", "model") or step.node.needs.gpus:
        return False
    if (progress.parts or 0) > _MAX_PARTS:
        return False
    return not any(_may_pass_rows(schedule, name) for name in step.node.inputs)


def _may_pass_rows(schedule: Schedule, name: str) -> bool:
    progress, makes_rows = schedule.steps[name], schedule.plan[name].kind in ("source", "children", "model")
    counts = progress.row_counts
    return not progress.is_complete or bool(counts.rows_out if makes_rows else counts.passed)
