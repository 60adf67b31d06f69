"""The contracts of an executor, which runs a plan, and of an observer, which follows a run."""

from typing import Protocol

from pipeline.engine.schedule import Schedule
from pipeline.planning.plan import Plan


class Observer(Protocol):
    """Follows a run, for example to display its progress. It must not change the schedule."""

    def observe(self, schedule: Schedule) -> None:
        """Called about twice per second, and once at the end of the run."""


class Executor(Protocol):
    """Runs a plan. All executors write the same tables, byte for byte."""

    def run(self, plan: Plan, observer: Observer) -> Schedule:
        """Run what the outputs of the plan need and the store does not hold yet.

        Raises:
            StageFailed: a stage failed, and no row is at fault.
            StageWaits: a service that a stage needs was unavailable for too long; other work is done.
            StoreFull: the disk of the store is full.
            RowCountMismatch: a row was lost.
        """
