"""Writes the outages of the store to the log of the run, which is in that store, when they are over."""

from typing import TYPE_CHECKING

from manifests.stores.outage import take_ended_outages
from pipeline.progress.lines import Write

if TYPE_CHECKING:
    from pipeline.engine.schedule import Schedule


class OutageLog:
    """Writes a line for each outage. While it lasts, the logger `clipmill.store` tells the user."""

    def __init__(self, write: Write) -> None:
        self.write = write

    def observe(self, schedule: "Schedule") -> None:
        for line in take_ended_outages():
            self.write(line)
