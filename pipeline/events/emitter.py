"""Reports to listeners what happens in a run, such as the writer of events and the metrics."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from manifests.table import RowCounts
from pipeline.events.event import counts_of

Listener = Callable[[str, Mapping[str, Any]], None]  # called with the kind of an event and its fields


class _Task(Protocol):
    """What events contain of a `Task`."""

    @property
    def step(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def group(self) -> str: ...


class _Result(Protocol):
    """What events contain of a `TaskResult`."""

    @property
    def seconds(self) -> float: ...
    @property
    def bytes_written(self) -> int: ...
    @property
    def crashed(self) -> Iterable[tuple[str, str]]: ...


class _Step(Protocol):
    """What events contain of a `Step`."""

    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> str: ...


class Emitter:
    """Calls the listeners of a run.

    Attributes:
        listeners: Called for each event in turn.
    """

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self._started: set[str] = set()

    def emit(self, event: str, **fields: Any) -> None:
        """Report that something happened; the fields are those of the event in `EVENTS`."""
        for listener in self.listeners:
            listener(event, fields)

    def step_started(self, step: str, kind: str, parts: int | None) -> None:
        """Report that the first task of a step was taken; later calls say nothing."""
        if step not in self._started:
            self._started.add(step)
            self.emit("step_started", step=step, kind=kind, parts=parts)

    def task_finished(self, task: _Task, result: _Result) -> None:
        """Report that a task is done that makes no part."""
        self.emit(
            "task_finished",
            step=task.step,
            phase=task.phase,
            task=task.group or str(task.number),
            seconds=round(result.seconds, 6),
            bytes=result.bytes_written,
        )

    def part_finished(self, step: _Step, part: int, counts: RowCounts, result: _Result | None) -> None:
        """Report that a part was committed, and which of its rows were rejected.

        Args:
            step: The step.
            part: Number of the part.
            counts: Its row counts.
            result: Result of the task; None if the task belongs to an earlier step, which made this part too.
        """
        self.emit(
            "part_finished",
            step=step.name,
            part=part,
            seconds=round(result.seconds, 6) if result else None,
            bytes=result.bytes_written if result else None,
            **counts_of(counts),
        )
        if counts.rejected:
            self.emit(
                "rows_rejected",
                step=step.name,
                part=part,
                rejected=counts.rejected - counts.errors,
                errors=counts.errors,
                file=f"{step.folder}/{counts.rejects}",
            )
        for row, reason in result.crashed if result else ():
            self.emit("row_crashed", step=step.name, part=part, row=row, reason=reason)
