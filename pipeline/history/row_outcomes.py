"""Row accounting of a table: each row was kept to the end, or one step dropped, rejected or failed on it.

When a table is completed, each step is compared with the previous one. This module checks the whole path: the
rows that leave the last step must be all rows of the table without those that a step dropped, rejected or
failed on. If the steps form one line, sums are sufficient. If rows take several branches, two steps can drop
the same row; then the ids are compared part by part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline.errors import RowCountMismatch
from pipeline.history.run_history import RunHistory, StepHistory


@dataclass(frozen=True)
class RowOutcomes:
    """The outcomes of the rows of one table.

    Attributes:
        base: Name of the step that made the rows.
        rows: Number of rows of the table.
        kept: Number of rows that every step kept.
        dropped: Number of rows that each rule dropped and no earlier step dropped or rejected, by step.
        rejected: The same for rows that a step rejected as invalid.
        errors: The same for rows on which a step failed.
    """

    base: str
    rows: int
    kept: int
    dropped: Mapping[str, int]
    rejected: Mapping[str, int]
    errors: Mapping[str, int] = field(default_factory=dict)

    def removed(self) -> list[str]:
        """What happened to the rows that were not kept, step by step."""
        removed = [f"{count:,} dropped by {step}" for step, count in self.dropped.items()]
        removed += [f"{count:,} rejected by {step}" for step, count in self.rejected.items()]
        return removed + [f"{count:,} failed in {step}" for step, count in self.errors.items()]

    def line(self) -> str:
        """The outcomes in one line."""
        return f"{self.base}: {self.rows:,} rows = {' + '.join([f'{self.kept:,} kept', *self.removed()])}"


def row_outcomes(history: RunHistory, passed: Mapping[str, int]) -> tuple[RowOutcomes, ...]:
    """Count the outcomes of the rows of each table whose steps are all complete.

    Args:
        history: The steps of the run.
        passed: Number of rows that each step kept.

    Raises:
        RowCountMismatch: a row has no outcome, or more than one.
    """
    outcomes = []
    for base in history:
        steps = history.steps_on(base.name)
        if base.base == base.name and all(history.manifests[s.name] for s in (base, *steps)):
            outcomes.append(_outcomes(history, base, steps, passed))
    return tuple(outcomes)


def _outcomes(
    history: RunHistory, base: StepHistory, steps: Sequence[StepHistory], passed: Mapping[str, int]
) -> RowOutcomes:
    rows = sum(row_counts.rows_out for row_counts in history.row_counts(base.name).values())
    removed = _removed_by_step(history, steps)
    inputs = {name for step in steps for name in step.inputs}
    for last in [step for step in steps if step.name not in inputs]:
        path = _path_to(last, {step.name: step for step in steps})
        on_path = removed if len(path) == len(steps) else _removed_by_step(history, path)
        count = sum(map(sum, on_path.values()))
        if passed[last.name] != rows - count:
            raise RowCountMismatch(
                f"{base.name} made {rows} rows and {count} were dropped or rejected on the path to"
                f" {last.name}, but {passed[last.name]} are left",
                where=f"{history.store.url}/{last.folder}",
                remedy="this is a bug of clipmill or damage of the store; keep the folders and report it",
            )
    return RowOutcomes(
        base=base.name,
        rows=rows,
        kept=rows - sum(map(sum, removed.values())),
        dropped={name: counts[0] for name, counts in removed.items() if counts[0]},
        rejected={name: counts[1] for name, counts in removed.items() if counts[1]},
        errors={name: counts[2] for name, counts in removed.items() if counts[2]},
    )


def _path_to(last: StepHistory, steps: dict[str, StepHistory]) -> list[StepHistory]:
    """The steps through which a row reaches `last`, and `last` itself."""
    reached = {last.name}
    for name in reversed(steps):
        if name in reached:
            reached.update(steps[name].inputs)
    return [step for name, step in steps.items() if name in reached]


def _removed_by_step(history: RunHistory, steps: Sequence[StepHistory]) -> dict[str, tuple[int, ...]]:
    """Numbers of rows that each step dropped, rejected and failed on; the first removal of a row counts."""
    removing = [s for s in steps if any(c.dropped or c.rejected for c in history.row_counts(s.name).values())]
    if not _is_line(removing, {step.name: step for step in steps}):
        return _removed_by_id(history, removing)
    counts: dict[str, tuple[int, ...]] = {}
    for step in removing:
        row_counts = history.row_counts(step.name).values()
        dropped, errors = sum(c.dropped for c in row_counts), sum(c.errors for c in row_counts)
        counts[step.name] = dropped, sum(c.rejected for c in row_counts) - errors, errors
    return counts


def _is_line(removing: Sequence[StepHistory], steps: dict[str, StepHistory]) -> bool:
    """Whether each step is behind the previous one, so that no two steps can remove the same row."""
    return all(one in _path_to(other, steps) for one, other in pairwise(removing))


def _removed_by_id(history: RunHistory, steps: Sequence[StepHistory]) -> dict[str, tuple[int, ...]]:
    counts = {step.name: [0, 0, 0] for step in steps}
    row_counts = {step.name: history.row_counts(step.name) for step in steps}
    for number in sorted(set().union(*row_counts.values())):
        counted: set[str] = set()
        for step in steps:
            if number not in row_counts[step.name]:
                continue
            removed = history.removed_ids(step.name, number, row_counts[step.name][number])
            for place, ids in enumerate(removed):
                new = set(ids) - counted
                counts[step.name][place] += len(new)
                counted |= new
    return {name: tuple(numbers) for name, numbers in counts.items()}
