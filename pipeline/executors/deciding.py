"""What is decided faster than a cluster starts: rules, and new rows that are told many at once."""

import time

from pipeline.dag import Keep
from pipeline.executor import Watch
from pipeline.plan import Plan, Step
from pipeline.schedule import Schedule
from pipeline.stage import Expand
from pipeline.worker import Worker

_LONG_S = 10.0  # twice what a cluster takes to start: what is left then is worth one


def decide_here(plan: Plan, schedule: Schedule, watch: Watch) -> None:
    """Carry out, in this process, what can be decided now; not for long."""
    quick, worker = [step.name for step in plan if _is_quick(step)], Worker(plan)
    begun = time.monotonic()
    while time.monotonic() < begun + _LONG_S:
        task = schedule.take(quick) if quick else None
        if task is None:
            return
        watch.look(schedule)
        schedule.finish(task, worker.do(task))


def _is_quick(step: Step) -> bool:
    work = step.node.work
    if isinstance(work, Keep):
        return True
    return isinstance(work, Expand) and work.from_store and type(work).expand_many is not Expand.expand_many
