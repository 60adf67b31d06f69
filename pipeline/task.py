"""A task: the smallest thing a worker is asked to do. Only this travels, and a `Done` comes back."""

from dataclasses import dataclass

from manifests.table import Books


@dataclass(frozen=True)
class Task:
    """One phase of one step, for one part or one group.

    Attributes:
        step: the name of the step.
        phase: "rows" (a source), "part" (one part of the table), "tally", "fit", "assign" and
            "settle" (a survey), "launch", or "close" (write the table's manifest).
        number: the part, where the phase is about a part.
        group: the group, where the phase is "settle".
    """

    step: str
    phase: str
    number: int = 0
    group: str = ""

    def __str__(self) -> str:
        what = self.group or (f"{self.number}" if self.phase in ("part", "tally", "assign") else "")
        return f"{self.step} {self.phase} {what}".strip()


@dataclass(frozen=True)
class Done:
    """What a finished task tells the driver: never rows, only sums.

    Attributes:
        books: the part's books, for phases that commit a part.
        parts: how many parts the table has, for "rows" and "launch".
        groups: the groups that an assigned part names.
        fresh: whether the work was done now; False if it stood there already.
    """

    books: Books | None = None
    parts: int = 0
    groups: tuple[str, ...] = ()
    fresh: bool = True
