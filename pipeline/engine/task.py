"""A task: the smallest thing a worker is asked to do. Only this travels, and a `Done` comes back."""

from dataclasses import dataclass

from manifests.table import RowCounts


@dataclass(frozen=True)
class Task:
    """One phase of one step, for one part or one group.

    Attributes:
        step: the name of the step.
        phase: "rows" (a source), "part" (one part of the table), "piece" and "join" (where a part has
            rows in pieces), "tally", "fit", "assign" and "settle" (a survey), "launch", or "close"
            (write the table's manifest).
        number: the part, where the phase is about a part.
        group: the group, where the phase is "settle"; the piece, where it is "piece".
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
class Effort:
    """What a task cost, in rows. It depends on what was there before, so it is never stored in a table.

    Attributes:
        worked: rows that a stage was asked about now.
        reused: rows copied from an earlier table with the same content key.
        resumed: rows that an attempt before this one had finished and noted in its journal.
        redone: rows that an attempt before this one had begun and not finished.
    """

    worked: int = 0
    reused: int = 0
    resumed: int = 0
    redone: int = 0

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.worked + other.worked,
            self.reused + other.reused,
            self.resumed + other.resumed,
            self.redone + other.redone,
        )


@dataclass(frozen=True)
class Pause:
    """Why a task was put back, and for how long; see `pipeline.Unavailable`."""

    reason: str
    retry_s: float
    patience_s: float


@dataclass(frozen=True)
class Done:
    """What a finished task tells the driver: never rows, only sums.

    Attributes:
        row_counts: the part's row_counts, for phases that commit a part.
        also: later steps of which the same part was made in the same go, and its row_counts.
        parts: how many parts the table has, for "rows" and "launch".
        groups: the groups that an assigned part names.
        pieces: the pieces that are to be done before the part can be joined; it has no row_counts then.
        effort: what it cost.
        pause: the task is not done: what its stage asks cannot be asked now.
    """

    row_counts: RowCounts | None = None
    also: tuple[tuple[str, RowCounts], ...] = ()
    parts: int = 0
    groups: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    effort: Effort = Effort()
    pause: Pause | None = None
