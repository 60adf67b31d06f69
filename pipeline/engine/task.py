"""A task is the smallest unit of work: the driver sends a `Task` and a worker returns a `TaskResult`.

The driver keeps the `Progress` of each step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from manifests.table import RowCounts


@dataclass(frozen=True)
class Task:
    """One phase of one step, for one part or one group.

    Attributes:
        step: Name of the step.
        phase: "rows" (a source), "part" (one part of the table), "piece" and "join" (a part whose rows
            are split into pieces), "tally", "fit", "assign" and "settle" (a survey), "launch", or
            "close" (write the table's manifest).
        number: Number of the part, where the phase is about a part.
        group: Name of the batch of groups in the phase "settle"; name of the piece in the phase "piece".
    """

    step: str
    phase: str
    number: int = 0
    group: str = ""

    def __str__(self) -> str:
        numbered = self.phase in ("part", "join", "tally", "assign")
        what = self.group or (f"{self.number}" if numbered else "")
        return f"{self.step} {self.phase} {what}".strip()


@dataclass(frozen=True)
class WorkCounts:
    """How many rows a task processed. It depends on what existed before, so no table stores it.

    Attributes:
        processed: Rows that were passed to the stage now.
        reused: Rows copied from an earlier table with the same content key.
        resumed: Rows that an earlier attempt had finished and written to its journal.
        reprocessed: Rows that an earlier attempt had started and not finished.
        divided: Batches that were divided because memory was not enough.
        seconds: For how long parts of the stage worked and waited; see `Stage.seconds`.
    """

    processed: int = 0
    reused: int = 0
    resumed: int = 0
    reprocessed: int = 0
    divided: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: "WorkCounts") -> "WorkCounts":
        return WorkCounts(
            self.processed + other.processed,
            self.reused + other.reused,
            self.resumed + other.resumed,
            self.reprocessed + other.reprocessed,
            self.divided + other.divided,
            {
                name: self.seconds.get(name, 0.0) + other.seconds.get(name, 0.0)
                for name in {**self.seconds, **other.seconds}
            },
        )

    @property
    def waited_shares(self) -> dict[str, float]:
        """The share of its time that each part of the stage waited: "x_waited" of "x" and "x_waited"."""
        shares = {}
        for name, waited in self.seconds.items():
            part = name.removesuffix("_waited")
            if part != name and (total := waited + self.seconds.get(part, 0.0)) > 0:
                shares[part] = waited / total
        return shares


@dataclass(frozen=True)
class NodeWork:
    """What a node of a cluster did in a run.

    Attributes:
        cpus: Its CPU cores.
        workers: How many worker processes it started.
        tasks: How many tasks it finished.
        busy_s: The seconds that they took.
    """

    cpus: float = 0.0
    workers: int = 0
    tasks: int = 0
    busy_s: float = 0.0

    def __add__(self, other: "NodeWork") -> "NodeWork":
        return NodeWork(
            max(self.cpus, other.cpus),
            self.workers + other.workers,
            self.tasks + other.tasks,
            self.busy_s + other.busy_s,
        )


@dataclass(frozen=True)
class Pause:
    """Why a task was requeued, and for how long its step waits; see `pipeline.Unavailable`."""

    reason: str
    retry_s: float
    patience_s: float


@dataclass(frozen=True)
class TaskResult:
    """What a worker reports for a task: counts, never rows.

    Attributes:
        row_counts: Row counts of the part, for phases that commit a part.
        chained: Later steps whose part of the same number was made by the same task, and its row counts.
        parts: How many parts the table has, for "rows" and "launch".
        groups: The batches of groups that the rows of an assigned part belong to.
        pieces: The pieces to process before the part can be joined; `row_counts` is None in this case.
        work: How many rows the task processed.
        crashed: Rows that are rejected because their workers died or were ended, with the reasons.
        pause: The task is not done, because a service that its stage uses is unavailable.
        seconds: For how long the worker ran the task.
        bytes_written: Bytes that the worker wrote to the store for it.
    """

    row_counts: RowCounts | None = None
    chained: tuple[tuple[str, RowCounts], ...] = ()
    parts: int = 0
    groups: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    work: WorkCounts = WorkCounts()
    crashed: tuple[tuple[str, str], ...] = ()
    pause: Pause | None = None
    seconds: float = 0.0
    bytes_written: int = 0


@dataclass
class Progress:
    """The progress of one step.

    Attributes:
        parts: How many parts the step will have, or None while its source is not listed yet.
        done: Numbers of the parts that exist.
        done_before: How many parts existed before this run.
        tasks: The tasks that a worker has, each with its share of the worker.
        row_counts: Sums of the row counts of the parts of this run.
        work: How many rows the tasks of this run processed.
        phase: The current phase of a survey.
        is_complete: Whether all parts exist and the manifest is written.
    """

    parts: int | None = None
    done: set[int] = field(default_factory=set)
    done_before: int = 0
    tasks: dict[Task, float] = field(default_factory=dict)
    row_counts: RowCounts = field(default_factory=RowCounts)
    work: WorkCounts = field(default_factory=WorkCounts)
    phase: str = ""
    is_complete: bool = False

    @property
    def has_all_parts(self) -> bool:
        return self.parts is not None and len(self.done) == self.parts

    @property
    def workers(self) -> float:
        """How many workers the step has now: of a worker that runs tasks of several steps, its share."""
        return sum(self.tasks.values())

    @property
    def running(self) -> int:
        """The number of these workers, rounded up."""
        return math.ceil(self.workers - 1e-9)
