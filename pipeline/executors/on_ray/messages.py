"""Chooses the tasks that one message to an actor holds.

A message costs the driver about a millisecond. Tasks that take longer are sent alone. Short ones are sent
together, as measured: the same part of steps behind each other, then the next parts.
"""

import math
from collections.abc import Collection

from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Task
from pipeline.executors.on_ray.pool import ALONE, Pool

_MESSAGE_S = 0.1  # seconds of work in a message: a hundred times its cost
_MAX_TASKS = 256


class Messages:
    """Measures the tasks of each step, and takes the next ones from a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._mean_s: dict[str, float] = {}

    def measure(self, task: Task, seconds: float) -> None:
        """Note for how long a worker ran a task."""
        if task.phase not in ALONE:
            before_s = self._mean_s.get(task.step, seconds)
            self._mean_s[task.step] = before_s + 0.2 * (seconds - before_s)

    def take(self, pool: Pool, suspects: Collection[Task]) -> list[Task]:
        """Take the tasks of a message. `suspects`, on which a worker died, are sent alone."""
        task = self.schedule.take(pool.steps)
        if task is None:
            return []
        if task.phase in ALONE or task in suspects or self.schedule.pauses.has_paused(task.step):
            return [task]
        tasks = self._with_following(pool, task)
        ready = sum(self.schedule.ready.get(name, 0) for name in pool.steps)
        first = 1
        while self._expected_s(tasks) < _MESSAGE_S and len(tasks) < _MAX_TASKS:
            if first >= math.ceil(ready / (2 * len(pool.actors))):
                break  # the other actors need tasks too
            task = self.schedule.take(pool.steps)
            if task is None:
                break
            if task in suspects or task.phase in ALONE or self.schedule.pauses.has_paused(task.step):
                self.schedule.requeue(task)
                break
            tasks += self._with_following(pool, task)
            first += 1
        self.schedule.share(tasks)
        return tasks

    def _with_following(self, pool: Pool, task: Task) -> list[Task]:
        plan = self.schedule.plan
        quick = {n for n in pool.steps if plan[n].kind == "drops" or self._step_s(n) < _MESSAGE_S}
        return [task, *self.schedule.take_following(task, quick)]

    def _expected_s(self, tasks: Collection[Task]) -> float:
        return sum(self._step_s(task.step) for task in tasks)

    def _step_s(self, name: str) -> float:
        return self._mean_s.get(name, _MESSAGE_S)
