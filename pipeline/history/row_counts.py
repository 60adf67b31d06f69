"""The account of a table of rows: each row was kept to the end, or one step took it out.

Closing a table has checked each step against the one before it. This checks the whole way: what
left the last step must be all rows that were made, less those that some step on the way says it
took out. Sums are enough where steps stand in a line; where rows go several ways side by side, two
steps may take out the same row, and the ids of those taken out are compared, part by part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.errors import RowCountMismatch
from pipeline.history.run_history import Past, PastStep


@dataclass(frozen=True)
class Account:
    """What became of the rows of one table.

    Attributes:
        base: the step that made the rows.
        rows: how many it made.
        kept: how many came through every step.
        dropped: for each rule, how many rows it took out that no earlier step had.
        rejected: the same for rows set aside, by step.
    """

    base: str
    rows: int
    kept: int
    dropped: Mapping[str, int]
    rejected: Mapping[str, int]

    def line(self) -> str:
        """The account in one line."""
        gone = [f"{count:,} dropped by {step}" for step, count in self.dropped.items()]
        gone += [f"{count:,} rejected by {step}" for step, count in self.rejected.items()]
        return f"{self.base}: {self.rows:,} rows = {' + '.join([f'{self.kept:,} kept', *gone])}"


def accounts_of(past: Past, passed: Mapping[str, int]) -> tuple[Account, ...]:
    """The account of each table of rows all of whose steps are whole.

    Raises:
        RowCountMismatch: a row is neither kept nor taken out, or both.
    """
    found = []
    for base in past:
        steps = past.works_on(base.name)
        if base.base == base.name and all(past.manifests[s.name] for s in (base, *steps)):
            found.append(_account(past, base, steps, passed))
    return tuple(found)


def _account(past: Past, base: PastStep, steps: Sequence[PastStep], passed: Mapping[str, int]) -> Account:
    rows = sum(row_counts.rows_out for row_counts in past.row_counts(base.name).values())
    fates = _fates(past, steps)
    read = {name for step in steps for name in step.inputs}
    for last in [step for step in steps if step.name not in read]:
        way = _way(last, {step.name: step for step in steps})
        gone = sum(map(sum, (fates if len(way) == len(steps) else _fates(past, way)).values()))
        if passed[last.name] != rows - gone:
            raise RowCountMismatch(
                f"{rows} rows were made by {base.name} and {gone} taken out on the way to {last.name}, "
                f"but {passed[last.name]} are there",
                where=f"{past.store.url}/{last.folder}",
                remedy="this is a defect of clipmill or of the store; keep the folders and report it",
            )
    return Account(
        base=base.name,
        rows=rows,
        kept=rows - sum(sum(pair) for pair in fates.values()),
        dropped={name: dropped for name, (dropped, _) in fates.items() if dropped},
        rejected={name: rejected for name, (_, rejected) in fates.items() if rejected},
    )


def _way(last: PastStep, steps: dict[str, PastStep]) -> list[PastStep]:
    """The steps that a row came through to have reached `last`, and `last`."""
    reached = {last.name}
    for name in reversed(steps):
        if name in reached:
            reached.update(steps[name].inputs)
    return [step for name, step in steps.items() if name in reached]


def _fates(past: Past, steps: Sequence[PastStep]) -> dict[str, tuple[int, int]]:
    """Rows dropped and rejected by each step; a row counts for the first step that took it out."""
    taking = [s for s in steps if any(b.dropped or b.rejected for b in past.row_counts(s.name).values())]
    if not _in_line(taking, {step.name: step for step in steps}):
        return _fates_by_id(past, taking)
    found = {}
    for step in taking:
        row_counts = past.row_counts(step.name).values()
        found[step.name] = sum(b.dropped for b in row_counts), sum(b.rejected for b in row_counts)
    return found


def _in_line(taking: Sequence[PastStep], steps: dict[str, PastStep]) -> bool:
    """Whether each comes after the one before it, so that none sees what another took out."""
    return all(one in _way(other, steps) for one, other in pairwise(taking))


def _fates_by_id(past: Past, steps: Sequence[PastStep]) -> dict[str, tuple[int, int]]:
    counts = {step.name: [0, 0] for step in steps}
    row_counts = {step.name: past.row_counts(step.name) for step in steps}
    for number in sorted(set().union(*row_counts.values())):
        seen: set[str] = set()
        for step in steps:
            if number not in row_counts[step.name]:
                continue
            dropped, rejected = past.gone(step.name, number, row_counts[step.name][number])
            for place, ids in enumerate((dropped, rejected)):
                fresh = set(ids) - seen
                counts[step.name][place] += len(fresh)
                seen |= fresh
    return {name: (dropped, rejected) for name, (dropped, rejected) in counts.items()}
