"""Runs a plan in this process, one task after another: the reference for all other executors."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.worker import Worker
from pipeline.executor import Observer
from pipeline.executors.ranks import run_ranks
from pipeline.planning.plan import Plan

_POLL_S = 0.1  # seconds between two checks while a step waits for an external service


class Inline:
    """Uses one process and restarts nothing. A launch of several ranks starts one process per rank.

    Args:
        observe_s: Seconds between two calls of the observer while a task runs.
    """

    def __init__(self, observe_s: float = 0.5) -> None:
        self.observe_s = observe_s

    def run(self, plan: Plan, observer: Observer) -> Schedule:
        for step in plan:
            begin_table(plan, step)
        schedule, worker = Schedule(plan), Worker(plan)
        with _Observing(lambda: observer.observe(schedule), self.observe_s) as observing:
            while not schedule.is_finished:
                task = schedule.take()
                observer.observe(schedule)
                if task is None:
                    schedule.check_pauses()
                    time.sleep(_POLL_S)
                    continue
                with observing.task():
                    result = run_ranks(plan, task) if task.phase == "launch" else worker.run(task)
                schedule.finish(task, result)
        observer.observe(schedule)
        return schedule


class _Observing:
    """Calls the observer in a second thread while a task runs, and never while the schedule changes."""

    def __init__(self, observe: Callable[[], None], every_s: float) -> None:
        self._observe, self._every_s = observe, every_s
        self._lock, self._ends = threading.Lock(), threading.Event()
        self._has_task = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def __enter__(self) -> "_Observing":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()

    @contextmanager
    def task(self) -> Iterator[None]:
        """Run a task in the block.

        Raises:
            Exception: what the observer raised meanwhile, for example because too many rows failed.
        """
        with self._lock:
            self._has_task = True
        try:
            yield
        finally:
            with self._lock:
                self._has_task = False
        if self._error:
            raise self._error

    def _run(self) -> None:
        while not self._ends.wait(self._every_s):
            with self._lock:
                if self._has_task and self._error is None:
                    try:
                        self._observe()
                    except BaseException as error:
                        self._error = error
