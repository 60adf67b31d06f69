"""Which steps wait for something outside to come back, and when each is tried again."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.engine.task import Pause


@dataclass
class Paused:
    """One step that waits: why, since when, and until when it is left alone."""

    why: Pause
    since: float
    until: float


class Pauses:
    """The pauses of a run. A step that was left alone long enough is tried with one task, until one is done.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[str, Paused] = {}

    def put(self, step: str, why: Pause) -> None:
        """A task of the step could not be done."""
        now = self._clock()
        since = self._steps[step].since if step in self._steps else now
        self._steps[step] = Paused(why, since, now + why.retry_s)

    def end(self, step: str) -> None:
        """A task of the step was done."""
        self._steps.pop(step, None)

    def holds(self, step: str, busy: int) -> bool:
        """Whether no further task of the step, of which `busy` are in hand, may be begun now."""
        paused = self._steps.get(step)
        return paused is not None and (self._clock() < paused.until or busy > 0)

    def told(self) -> Mapping[str, str]:
        """Why each paused step waits."""
        return {name: paused.why.reason for name, paused in self._steps.items()}

    def hopeless(self) -> bool:
        """Whether something is paused, and all that is has been for as long as there was patience with it."""
        now = self._clock()
        return bool(self._steps) and all(now - p.since >= p.why.patience_s for p in self._steps.values())
