"""What is decided faster than a cluster starts: rules, and new rows that are told many at once."""

import time

from pipeline.dag import Keep
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.expand_many import tells_many
from pipeline.engine.worker import Worker
from pipeline.executor import Watch
from pipeline.planning.plan import Plan

_LONG_S = 10.0  # twice what a cluster takes to start: what is left then is worth one


def decide_here(plan: Plan, schedule: Schedule, watch: Watch) -> None:
    """Carry out, in this process, what can be decided now; not for long."""
    quick = [s.name for s in plan if isinstance(s.node.work, Keep) or tells_many(s.node.work)]
    worker = Worker(plan)
    begun = time.monotonic()
    while time.monotonic() < begun + _LONG_S:
        task = schedule.take(quick) if quick else None
        if task is None:
            return
        watch.look(schedule)
        schedule.finish(task, worker.do(task))
