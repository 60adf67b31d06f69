"""The funnel: how many rows entered each step and were kept, dropped, rejected, or failed with an error."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from manifests.table import RowCounts
from pipeline.history.row_outcomes import RowOutcomes, row_outcomes
from pipeline.history.run_history import RunHistory, StepHistory
from pipeline.rule import Keep

MAX_CHARACTERS = 119  # of a printed line
_COUNTS = ("rows_in", "passed", "dropped", "rejected", "errors", "rows_out")


@dataclass(frozen=True, kw_only=True)
class FunnelLine:
    """The row counts of one step, summed over its existing parts.

    Attributes:
        step: Name of the step.
        kind: Kind of its table.
        parts: Number of existing parts.
        total_parts: Number of parts that the table will have; None if the source is not listed yet.
        complete: Whether the table is complete.
        description: The rule with its predicate, or the name of the stage.
        rows_in, passed, dropped, rows_out: As in `RowCounts`.
        rejected: Rows that the step refused, because their input is invalid or a value is missing.
        errors: Rows on which the stage failed or its process died. The row counts add up:
            rows_in = passed + dropped + rejected + errors.
    """

    step: str
    kind: str
    parts: int
    total_parts: int | None
    complete: bool
    description: str
    rows_in: int = 0
    passed: int = 0
    dropped: int = 0
    rejected: int = 0
    errors: int = 0
    rows_out: int = 0

    @property
    def rows_to_next(self) -> int:
        """Rows that enter the next step: the kept rows, or the new rows if the step makes rows."""
        return self.rows_out if self.kind in ("source", "children", "model") else self.passed


@dataclass(frozen=True)
class Funnel:
    """Every step in order, and the outcomes of the rows of every complete table."""

    lines: tuple[FunnelLine, ...]
    outcomes: tuple[RowOutcomes, ...] = ()

    @property
    def rejected(self) -> int:
        """Number of rows that steps refused as invalid."""
        return sum(line.rejected for line in self.lines)

    @property
    def errors(self) -> int:
        """Number of rows on which stages failed."""
        return sum(line.errors for line in self.lines)

    def as_dict(self) -> dict[str, object]:
        """The funnel as JSON values."""
        steps = [asdict(line) for line in self.lines]
        return {"steps": steps, "outcomes": [asdict(outcomes) for outcomes in self.outcomes]}

    def json_bytes(self) -> bytes:
        """The content of funnel.json."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False).encode()

    def table(self) -> str:
        """The funnel as a text table."""
        head = ("step", "in", "dropped", "rejected", "errors", "out", "")
        rows = [
            (
                line.step,
                _count(line.rows_in),
                _count(line.dropped),
                _count(line.rejected),
                _count(line.errors),
                f"{line.rows_to_next:,}",
                _note(line),
            )
            for line in self.lines
        ]
        outcomes = [part for each in self.outcomes for part in wrap_line(each.line())]
        return "\n".join([*align_columns([head, *rows]), *([""] if outcomes else []), *outcomes])


def funnel_of(history: RunHistory) -> Funnel:
    """The funnel of a run, from the manifests of complete tables and the footers of other parts.

    Raises:
        RowCountMismatch: a row of a complete table is neither kept, dropped nor rejected.
    """
    lines = funnel_lines(history)
    return Funnel(lines, row_outcomes(history, {line.step: line.passed for line in lines}))


def funnel_lines(history: RunHistory) -> tuple[FunnelLine, ...]:
    """The lines of the funnel without the check of row counts, for a run that did not finish."""
    return tuple(_line(history, step) for step in history)


def align_columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> Iterable[str]:
    """Format rows of text as columns: the first and the last column on the left, the others on the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    last = len(widths) - 1
    for row in rows:
        cells = [
            text.ljust(width) if i in (0, last) else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield gap.join(cells).rstrip()


def wrap_line(line: str) -> list[str]:
    """Split a line that is too long; what follows is indented."""
    return textwrap.wrap(
        line, MAX_CHARACTERS, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def describe_origin(made_by: Mapping[str, object]) -> str:
    """What made a table, in a few words: the rule with its predicate, or the class name of the stage."""
    if "keep" in made_by:
        rule = Keep(*(str(made_by.get(name, "")) for name in ("keep", "because", "across", "when")))
        return f"{rule.because}: keep {rule}"
    return str(made_by.get("stage", "")).rpartition(":")[2]


def _line(history: RunHistory, step: StepHistory) -> FunnelLine:
    row_counts = history.row_counts(step.name)
    complete = history.manifests[step.name] is not None
    root_parts = None if step.root == step.name else len(history.row_counts(step.root)) or None
    return FunnelLine(
        step=step.name,
        kind=step.kind,
        parts=len(row_counts),
        total_parts=len(row_counts) if complete else root_parts,
        complete=complete,
        description=describe_origin(step.made_by),
        **_sum_counts(row_counts.values()),
    )


def _sum_counts(row_counts: Iterable[RowCounts]) -> dict[str, int]:
    every = list(row_counts)
    sums = {name: sum(getattr(counts, name) for counts in every) for name in _COUNTS}
    return {**sums, "rejected": sums["rejected"] - sums["errors"]}


def _note(line: FunnelLine) -> str:
    if not line.complete:
        return f"not finished: {line.parts} of {'?' if line.total_parts is None else line.total_parts} parts"
    return line.description if line.kind == "drops" else ""


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"
