"""Runs the steps that need less time than a cluster needs to start: rules, and `expand_many` stages."""

import time

from pipeline.dag import Keep
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.expand_many import has_expand_many
from pipeline.engine.worker import Worker
from pipeline.executor import Observer
from pipeline.planning.plan import Plan

_MAX_S = 10.0  # twice the start time of a cluster; the work that is left then is worth a cluster


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
