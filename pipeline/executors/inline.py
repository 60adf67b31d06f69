"""Runs a plan in this process, one task after another: the reference for all other executors."""

import time

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.worker import Worker
from pipeline.executor import Observer
from pipeline.executors.ranks import run_ranks
from pipeline.planning.plan import Plan

_POLL_S = 0.1  # seconds between two checks while a step waits for an external service


class Inline:
    """Uses one process and restarts nothing. A launch of several ranks starts one process per rank."""

    def run(self, plan: Plan, observer: Observer) -> Schedule:
        for step in plan:
            begin_table(plan, step)
        schedule, worker = Schedule(plan), Worker(plan)
        while not schedule.is_finished:
            task = schedule.take()
            observer.observe(schedule)
            if task is None:
                schedule.check_pauses()
                time.sleep(_POLL_S)
                continue
            result = run_ranks(plan, task) if task.phase == "launch" else worker.run(task)
            schedule.finish(task, result)
        observer.observe(schedule)
        return schedule
