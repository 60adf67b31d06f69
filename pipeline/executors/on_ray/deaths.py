"""Counts the workers that died, queues their tasks again, and ends a run in which they die too often."""

from collections import Counter
from collections.abc import Sequence

from ray.exceptions import ActorUnschedulableError, OutOfMemoryError, RayActorError

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.storing import one_line
from pipeline.engine.task import Task
from pipeline.errors import StageFailed
from pipeline.executors.on_ray.pool import Pool

# Ray's own memory monitor kills too; an actor whose node has left cannot be placed.
DIED = (RayActorError, OutOfMemoryError, ActorUnschedulableError)
_MAX_STARTS = 3  # failed starts in a row until the run fails
_REJECTING = ("part", "piece", "join")  # phases that reject a row on which workers died
_MAX_DEATHS = 200  # of workers on one task: far more than its rows can cause


class Deaths:
    """The deaths of the workers of a run.

    Attributes:
        of_tasks: How many workers died on each task, not counting those whose node was lost.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.of_tasks: Counter[Task] = Counter()

    def at_start(self, pool: Pool, error: Exception, *, has_node: bool) -> None:
        """Note that a worker died before its stage was open.

        Raises:
            StageFailed: several died in a row. The loss of a node (not `has_node`) is no such death.
        """
        pool.failed_starts += int(has_node)
        self._emit(pool.step, "start", pool.failed_starts, error)
        if pool.failed_starts >= _MAX_STARTS:
            raise StageFailed(
                f"the worker of {pool} died {_MAX_STARTS} times while starting",
                remedy="check that enough memory is free; --inline runs the step in this process",
            ) from error

    def on_tasks(self, tasks: Sequence[Task], error: Exception, *, has_node: bool) -> None:
        """Queue the tasks of a worker again, to be sent alone: it is unknown on which of them it died.

        Raises:
            StageFailed: too many died on one task. The loss of a node (not `has_node`) is no such death.
        """
        self.of_tasks.update(dict.fromkeys(tasks, int(has_node)))
        self._emit(tasks[0].step, str(tasks[0]), self.of_tasks[tasks[0]], error)
        for task in tasks:
            self._queue_again(task, error)

    def _queue_again(self, task: Task, error: Exception) -> None:
        deaths = self.of_tasks[task]
        if deaths >= (_MAX_DEATHS if task.phase in _REJECTING else _MAX_STARTS):
            raise StageFailed(
                f"the worker of task {task} died {deaths} times",
                remedy="check that enough memory is free; `clipmill replay` runs one row in this process",
            ) from error
        self.schedule.requeue(task)

    def _emit(self, step: str, task: str, deaths: int, error: Exception) -> None:
        reason = one_line(f"{type(error).__name__}: {last_line(error)}")
        self.schedule.events.emit("worker_died", step=step, task=task, deaths=deaths, reason=reason)


def last_line(error: Exception) -> str:
    """The last line of a message: Ray puts a traceback before the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
