"""Runs a plan in this process, one task after the other: the reference that every other must equal."""

import time

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin
from pipeline.engine.worker import Worker
from pipeline.executor import Watch
from pipeline.executors.ranks import run_ranks
from pipeline.planning.plan import Plan

_REST_S = 0.1  # while a step waits for something outside


class Inline:
    """One process, no restarts. A launch of several ranks starts a process for each."""

    def run(self, plan: Plan, watch: Watch) -> Schedule:
        for step in plan:
            begin(plan, step)
        schedule, worker = Schedule(plan), Worker(plan)
        while not schedule.finished:
            task = schedule.take()
            watch.look(schedule)
            if task is None:
                schedule.rest()
                time.sleep(_REST_S)
                continue
            done = run_ranks(plan, task) if task.phase == "launch" else worker.do(task)
            schedule.finish(task, done)
        watch.look(schedule)
        return schedule
