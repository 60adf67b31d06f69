"""Writes the events of a run: those that the schedule reports, and the ends of steps and pauses."""

import time
from collections.abc import Mapping
from typing import Any

from pipeline.engine.schedule import Schedule
from pipeline.events.event import counts_of
from pipeline.events.writer import EventWriter
from pipeline.recipes.redaction import redact_urls

_WITH_TEXT = ("worker_died", "step_paused")  # their text comes from outside and may contain a URL


class RunEvents:
    """An observer that passes the events of a schedule to a writer."""

    def __init__(self, writer: EventWriter) -> None:
        self.writer = writer
        self._seen: set[str] = set()
        self._started_s: dict[str, float] = {}  # of steps that have not ended
        self._paused_s: dict[str, float] = {}
        self._schedule: Schedule | None = None

    def observe(self, schedule: Schedule) -> None:
        if schedule is not self._schedule:
            self._schedule = schedule
            schedule.events.listeners.append(self._listen)
        for name in [name for name in self._started_s if schedule.steps[name].is_complete]:
            self._end_step(schedule, name)
        self._compare_pauses(schedule)
        self.writer.write_if_due()

    def _listen(self, event: str, fields: Mapping[str, Any]) -> None:
        if event == "step_started" and fields["step"] in self._seen:
            return
        if "step" in fields:
            self._start_step(fields["step"], is_reported=event == "step_started")
        if event in _WITH_TEXT:
            fields = {**fields, "reason": redact_urls(fields["reason"])}
        self.writer.add(event, fields)

    def _start_step(self, name: str, *, is_reported: bool) -> None:
        """Note when a step started, and report it if the task of another step makes its parts."""
        if name in self._seen or not name:
            return
        self._seen.add(name)
        self._started_s[name] = time.monotonic()
        if not is_reported and self._schedule:
            kind, parts = self._schedule.plan[name].kind, self._schedule.steps[name].parts
            self.writer.add("step_started", {"step": name, "kind": kind, "parts": parts})

    def _end_step(self, schedule: Schedule, name: str) -> None:
        """Add the end of a step, with the row counts of its whole table."""
        seconds = round(time.monotonic() - self._started_s.pop(name), 3)
        progress = schedule.steps[name]
        counts = counts_of(progress.row_counts)
        self.writer.add(
            "step_ended", {"step": name, "parts": len(progress.done), "seconds": seconds, **counts}
        )

    def _compare_pauses(self, schedule: Schedule) -> None:
        reasons = schedule.pauses.reasons()
        for name in reasons.keys() - self._paused_s.keys():
            self._paused_s[name] = time.monotonic()
            self._listen("step_paused", {"step": name, "reason": reasons[name]})
        for name in self._paused_s.keys() - reasons.keys():
            seconds = round(time.monotonic() - self._paused_s.pop(name), 3)
            self.writer.add("step_resumed", {"step": name, "seconds": seconds})
