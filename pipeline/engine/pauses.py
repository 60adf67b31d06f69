"""Which steps are paused because an external service is unavailable, and when each one is retried."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.engine.task import Pause
from pipeline.errors import StageWaits


@dataclass
class PausedStep:
    """One paused step: why, since when, and when it is retried (seconds of the clock of `Pauses`)."""

    pause: Pause
    since_s: float
    retry_at_s: float


class Pauses:
    """The paused steps of a run. After its delay a step is retried with one task, until one succeeds.

    Args:
        clock: Returns seconds that never decrease.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[str, PausedStep] = {}

    def pause(self, step: str, pause: Pause) -> None:
        """Pause a step after one of its tasks could not be done."""
        now = self._clock()
        since = self._steps[step].since_s if step in self._steps else now
        self._steps[step] = PausedStep(pause, since, now + pause.retry_s)

    def resume(self, step: str) -> None:
        """End the pause of a step after one of its tasks was done."""
        self._steps.pop(step, None)

    def blocks(self, step: str, running: int) -> bool:
        """Whether no further task of the step may start now, while `running` of its tasks are running."""
        paused = self._steps.get(step)
        return paused is not None and (self._clock() < paused.retry_at_s or running > 0)

    def has_paused(self, step: str) -> bool:
        """Whether a step is paused, even if one of its tasks may be tried."""
        return step in self._steps

    def reasons(self) -> Mapping[str, str]:
        """Why each paused step waits."""
        return {name: paused.pause.reason for name, paused in self._steps.items()}

    def has_timed_out(self) -> bool:
        """Whether some step is paused, and every paused step has waited for at least its `patience_s`."""
        now = self._clock()
        paused = self._steps.values()
        return bool(paused) and all(now - step.since_s >= step.pause.patience_s for step in paused)

    def check(self, where: str) -> None:
        """Check that a paused step may still be retried. `where` is how far the run is, for the message.

        Raises:
            StageWaits: the paused steps have waited for too long.
        """
        if self.has_timed_out():
            raise StageWaits(
                "; ".join(f"step {name} waits: {reason}" for name, reason in self.reasons().items()),
                where=where,
                remedy="run again when the service is available: no row was dropped, and finished parts are "
                "kept",
            )
