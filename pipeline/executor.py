"""The promise of an executor: it carries out a plan. All of them give the same tables."""

from typing import Protocol

from pipeline.engine.schedule import Schedule
from pipeline.planning.plan import Plan


class Watch(Protocol):
    """Someone who looks at a run while it goes on, and never touches it."""

    def look(self, schedule: Schedule) -> None:
        """Called about twice a second, and once at the end."""


class Executor(Protocol):
    def run(self, plan: Plan, watch: Watch) -> Schedule:
        """Do what the plan's outputs need and the store does not hold yet.

        Raises:
            StageFailed: a stage broke on rows that are not at fault.
            StageWaits: what a stage asks was away for too long; all else is done.
            StoreFull: no room is left.
            RowCountMismatch: a row was lost.
        """
