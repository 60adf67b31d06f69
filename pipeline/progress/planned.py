"""The planned duration of a run, to compare it with the real one: what `clipmill plan` would print."""

from pipeline.engine.schedule import Schedule
from pipeline.preview.costs import costs_of
from pipeline.preview.forecast import forecast
from pipeline.progress.stopwatch import Stopwatch

_MAX_PARTS = 500  # of all sources: reading the tables of more parts would delay the run


class PlannedTime:
    """An observer that plans the run once, as soon as its sources are listed.

    It sets `planned_s` of a stopwatch, unless nothing has to run, no earlier run of the store timed one of
    the steps, or there are too many parts to plan quickly.
    """

    def __init__(self, stopwatch: Stopwatch) -> None:
        self.stopwatch, self._is_planned = stopwatch, False

    def observe(self, schedule: Schedule) -> None:
        plan = schedule.plan
        sources = [schedule.steps[step.name] for step in plan if step.kind == "source"]
        if self._is_planned or not all(progress.is_complete for progress in sources):
            return
        self._is_planned = True
        if sum(progress.parts or 0 for progress in sources) > _MAX_PARTS:
            return
        try:
            costs = costs_of(plan, forecast(plan))
        except Exception:  # a run does not fail because of its plan
            return
        if costs.seconds and not costs.not_timed:
            self.stopwatch.planned_s = self.stopwatch.elapsed_s + costs.seconds
