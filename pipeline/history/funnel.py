"""The funnel: how many rows entered each step, and left it kept, dropped or rejected."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from manifests.table import RowCounts
from pipeline.history.row_counts import Account, accounts_of
from pipeline.history.run_history import Past, PastStep

_SUMS = ("rows_in", "passed", "dropped", "rejected", "errors", "rows_out")


@dataclass(frozen=True, kw_only=True)
class FunnelLine:
    """One step: its row_counts added up over the parts that stand.

    Attributes:
        parts: parts that stand.
        of: parts the table will have, as far as its source is listed; None before that.
        says: the rule with its predicate, or the stage.
    """

    step: str
    kind: str
    parts: int
    of: int | None
    whole: bool
    says: str
    rows_in: int = 0
    passed: int = 0
    dropped: int = 0
    rejected: int = 0
    errors: int = 0
    rows_out: int = 0

    @property
    def left(self) -> int:
        """Rows that go on from here: kept ones, or new ones where the step makes rows."""
        return self.rows_out if self.kind in ("source", "children", "model") else self.passed


@dataclass(frozen=True)
class Funnel:
    """Every step in order, and the account of every table of rows that is finished."""

    lines: tuple[FunnelLine, ...]
    accounts: tuple[Account, ...] = ()

    @property
    def rejected(self) -> int:
        return sum(line.rejected for line in self.lines)

    def plain(self) -> dict[str, object]:
        steps = [asdict(line) for line in self.lines]
        return {"steps": steps, "accounts": [asdict(account) for account in self.accounts]}

    def text(self) -> bytes:
        """As it is recorded in funnel.json."""
        return json.dumps(self.plain(), indent=1, ensure_ascii=False).encode()

    def table(self) -> str:
        """As a table for people."""
        head = ("step", "in", "dropped", "rejected", "out", "")
        rows = [
            (
                line.step,
                _count(line.rows_in),
                _count(line.dropped),
                _count(line.rejected),
                f"{line.left:,}",
                _note(line),
            )
            for line in self.lines
        ]
        return "\n".join([*aligned([head, *rows]), "", *(account.line() for account in self.accounts)])


def funnel_of(past: Past) -> Funnel:
    """The funnel of a run, from manifests where tables are whole and from parts' footers elsewhere.

    Raises:
        RowCountMismatch: a row of a finished table is neither kept, dropped nor rejected.
    """
    lines = lines_of(past)
    return Funnel(lines, accounts_of(past, {line.step: line.passed for line in lines}))


def lines_of(past: Past) -> tuple[FunnelLine, ...]:
    """The funnel's lines alone, for a run that did not come to its end."""
    return tuple(_line(past, step) for step in past)


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> Iterable[str]:
    """Rows of text in columns: the first and the last to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    last = len(widths) - 1
    for row in rows:
        cells = [
            text.ljust(width) if i in (0, last) else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield gap.join(cells).rstrip()


def says(made_by: Mapping[str, object]) -> str:
    """What made a table, in a few words."""
    if "keep" in made_by:
        return f"{made_by['because']}: keep {made_by['keep']}"
    return str(made_by.get("stage", "")).rpartition(":")[2]


def _line(past: Past, step: PastStep) -> FunnelLine:
    row_counts = past.row_counts(step.name)
    whole = past.manifests[step.name] is not None
    of = (
        len(row_counts)
        if whole
        else None
        if step.root == step.name
        else len(past.row_counts(step.root)) or None
    )
    return FunnelLine(
        step=step.name,
        kind=step.kind,
        parts=len(row_counts),
        of=of,
        whole=whole,
        says=says(step.made_by),
        **_added(row_counts.values()),
    )


def _added(row_counts: Iterable[RowCounts]) -> dict[str, int]:
    every = list(row_counts)
    return {name: sum(getattr(b, name) for b in every) for name in _SUMS}


def _note(line: FunnelLine) -> str:
    if not line.whole:
        return f"not finished: {line.parts} of {'?' if line.of is None else line.of} parts"
    return line.says if line.kind == "drops" else ""


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"
