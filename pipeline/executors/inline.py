"""Runs a plan in this process, one task after the other: the reference that every other must equal."""

from pipeline.errors import StageFailed
from pipeline.executor import Watch
from pipeline.executors.ranks import run_ranks
from pipeline.kinds.closing import begin
from pipeline.plan import Plan
from pipeline.schedule import Schedule
from pipeline.worker import Worker


class Inline:
    """One process, no restarts. A launch of several ranks starts a process for each."""

    def run(self, plan: Plan, watch: Watch) -> Schedule:
        for step in plan:
            begin(plan, step)
        schedule, worker = Schedule(plan), Worker(plan)
        while task := schedule.take():
            watch.look(schedule)
            done = run_ranks(plan, task) if task.phase == "launch" else worker.do(task)
            schedule.finish(task, done)
        watch.look(schedule)
        if not schedule.finished:
            raise StageFailed("nothing can be done and the run is not finished: a defect of clipmill")
        return schedule
