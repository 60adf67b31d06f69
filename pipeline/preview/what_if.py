"""What-if analysis: how changed knobs change the outcomes of the rows of a finished run, writing nothing.

The tables of the run give the outcome of each row before. The plan with the changed knobs is evaluated part
by part: rules are decided in memory; stages that read only the store, and comparisons of few rows, are run in
this process. If an expensive stage has to run first, the outcome of a row is unknown.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.store import Store
from manifests.table import RowCounts, part_name, read_part
from pipeline.dag import Keep
from pipeline.engine.steps import compare
from pipeline.history.run_history import RunHistory
from pipeline.planning.plan import Plan, Step
from pipeline.preview.borderline import Borderline, Outcome, PreviousOutcomes, borderline_of, shown_columns
from pipeline.preview.compared_run import find_run
from pipeline.preview.decisions import PartDecisions
from pipeline.preview.forecast import StepForecast, forecast
from pipeline.recipes.request import RunRequest
from pipeline.stage import Compare

KEPT, ABSENT = ("kept", ""), ("absent", "")
_PAIR = 1 << 16  # more than the number of outcomes


@dataclass
class TableChanges:
    """The outcomes of the rows of one table, before and after a change of knobs.

    Attributes:
        base: Name of the step that makes the rows.
        transitions: Number of rows for each pair of outcomes (before, after). An outcome is ("kept", ""),
            ("dropped", step), ("rejected", step), ("absent", ""), ("unknown", the step that has to run
            first), or ("kept", step): all rules keep the row, but this step has to run and can reject it.
        borderlines: The changed rules with the rows nearest to their thresholds.
        is_incomplete: Whether rows are missing because their parents have to be expanded first.
    """

    base: str
    transitions: Counter[tuple[Outcome, Outcome]] = field(default_factory=Counter)
    borderlines: list[Borderline] = field(default_factory=list)
    is_incomplete: bool = False

    def outcome_counts(self, side: int) -> Counter[Outcome]:
        """Number of rows with each outcome: before (side 0) or after (side 1)."""
        counts: Counter[Outcome] = Counter()
        for outcomes, count in self.transitions.items():
            if outcomes[side] != ABSENT:
                counts[outcomes[side]] += count
        return counts

    def changes(self) -> list[tuple[tuple[Outcome, Outcome], int]]:
        """The transitions to another outcome, the largest first, without those from kept to kept."""
        transitions = self.transitions.most_common()
        return [
            ((one, two), n) for (one, two), n in transitions if one != two and {one[0], two[0]} != {"kept"}
        ]


@dataclass
class WhatIf:
    """The effect of changed knobs.

    Attributes:
        run: Name of the run with which the change is compared.
        knobs: The changed knobs with their values before and after.
        tables: The tables whose rows can have another outcome.
        steps: What a run with these knobs would do, as `clipmill plan` prints it.
    """

    run: str
    knobs: Mapping[str, tuple[Any, Any]]
    tables: list[TableChanges]
    steps: list[StepForecast]


def what_if(store: Store, request: RunRequest, run: str = "", max_examples: int = 3) -> WhatIf:
    """Evaluate how the knobs of a request would change the outcomes of a finished run of its recipe.

    Args:
        store: The store of the run.
        request: The recipe and the changed knobs. Other knobs keep the values of the run.
        run: Name of the run; by default the newest finished run over the same source rows, if possible of the
            same recipe.
        max_examples: Number of examples on each side of a threshold.

    Raises:
        PipelineError: there is no finished run whose source lists the same rows.
    """
    history, plan, knobs = find_run(store, request, run)
    comparer = _PartComparer(plan, history, max_examples)
    steps = forecast(plan, comparer)
    return WhatIf(history.run, knobs, list(comparer.tables.values()), steps)


class _PartComparer:
    """Decides each part number, and counts the outcomes of its rows before and after."""

    def __init__(self, plan: Plan, history: RunHistory, max_examples: int) -> None:
        self.plan, self.history, self.max_examples = plan, history, max_examples
        self.outcomes: list[Outcome] = [KEPT, ABSENT]  # the code of an outcome is its index
        self.extra_columns = frozenset(shown_columns(plan))
        self.row_counts: dict[str, dict[int, RowCounts]] = {
            step.name: history.row_counts(step.name) for step in history
        }
        self.small_comparisons = frozenset(step.name for step in plan if self._is_small(step))
        self.comparisons: dict[str, list[pa.Table] | None] = {}
        bases = [s for s in plan if s.base == s.name and s.kind != "model" and s.name in history.steps]
        self.tables = {
            base.name: TableChanges(base.name, borderlines=self._borderlines(base))
            for base in bases
            if self._can_change(base)
        }

    def __call__(self, root: str, number: int) -> PartDecisions:
        decisions = self._decide(number)
        for name, changes in self.tables.items():
            if self.plan[name].root == root and number in self.row_counts[name]:
                self._compare(decisions, self.plan[name], changes)
        return decisions

    def _decide(self, number: int) -> PartDecisions:
        return PartDecisions(
            self.plan,
            number,
            run_stages=True,
            extra_columns=self.extra_columns,
            known_outcomes=self._known_outcomes,
            comparison=self._comparison,
            small_comparisons=self.small_comparisons,
        )

    def _is_small(self, step: Step) -> bool:
        """Whether a step is a comparison that had few rows in the run."""
        work, row_counts = step.node.work, self.row_counts.get(step.name, {}).values()
        return isinstance(work, Compare) and 0 < sum(c.rows_in for c in row_counts) <= work.max_preview_rows

    def _comparison(self, step: Step, number: int) -> pa.Table | None:
        """The result of a comparison for a part, from the rows of all parts; None if these are unknown."""
        if step.name not in self.comparisons:
            self.comparisons[step.name] = None
            inputs = [self._decide(part).input_table(step) for part in sorted(self.row_counts[step.root])]
            known = [rows for rows in inputs if rows is not None]
            count, stage = sum(rows.num_rows for rows in known), step.stage
            assert isinstance(stage, Compare)
            if len(known) == len(inputs) and (stage.from_store or count <= stage.max_preview_rows):
                self.comparisons[step.name] = compare.in_memory(step, known)
        results = self.comparisons[step.name]
        return None if results is None else results[number]

    def _steps_on(self, base: Step) -> list[Step]:
        """The steps that process the rows of `base`, in order."""
        return [s for s in self.plan if s.node.inputs and self.plan[s.node.inputs[0]].base == base.name]

    def _can_change(self, base: Step) -> bool:
        """Whether a step on these rows differs from the run, so that they can have another outcome."""
        steps = [base, *(step for step in self._steps_on(base) if step.kind != "model")]
        old = {base.name, *(step.name for step in self.history.steps_on(base.name) if step.kind != "model")}
        has_changed = any(s.folder != self.history[s.name].folder for s in steps if s.name in old)
        return has_changed or old != {step.name for step in steps}

    def _borderlines(self, base: Step) -> list[Borderline]:
        """The rules that differ from the run."""
        borderlines = []
        for step in self._steps_on(base):
            previous = self.history[step.name].rule if step.name in self.history.steps else ""
            if isinstance(step.node.work, Keep) and step.node.work.where != previous:
                borderlines.append(borderline_of(step, step.node.work.where, previous))
        return borderlines

    def _compare(self, decisions: PartDecisions, base: Step, changes: TableChanges) -> None:
        before = self._before(base, decisions.number)
        ids, codes = self._after(decisions, base)
        is_incomplete = decisions.outcome(base).kept.is_incomplete
        changes.is_incomplete = changes.is_incomplete or is_incomplete
        if ids.equals(before.ids):
            pairs = [pc.add(pc.multiply(before.codes, _PAIR), codes)]
        else:
            absent = self._code(("unknown", base.name) if is_incomplete else ABSENT)
            old_codes = before.codes.take(pc.index_in(ids, value_set=before.ids))
            old_codes = pc.fill_null(old_codes, self._code(ABSENT))
            removed = before.codes.filter(pc.invert(pc.is_in(before.ids, value_set=ids)))
            pairs = [
                pc.add(pc.multiply(old_codes, _PAIR), codes),
                pc.add(pc.multiply(removed, _PAIR), absent),
            ]
        for pair in pc.value_counts(pa.chunked_array(pairs, pa.int64())).to_pylist():
            one, two = divmod(pair["values"], _PAIR)
            changes.transitions[self.outcomes[one], self.outcomes[two]] += pair["counts"]
        for borderline in changes.borderlines:
            borderline.add_rows(decisions, self.plan[borderline.step], self.max_examples, before)

    def _before(self, base: Step, number: int) -> PreviousOutcomes:
        """The outcomes of the rows of a part in the run."""
        history = self.history
        ids = read_part(history.store, f"{history[base.name].folder}/{part_name(number)}", ["id"])["id"]
        removed: list[tuple[Outcome, pa.Array]] = []
        for step in history.steps_on(base.name):
            row_counts = self.row_counts[step.name].get(number, RowCounts())
            if step.kind != "model" and (row_counts.dropped or row_counts.rejected):
                dropped, rejected, errors = history.removed_ids(step.name, number, row_counts)
                removed += [(("dropped", step.name), pa.array(dropped, pa.string()))]
                removed += [(("rejected", step.name), pa.array([*rejected, *errors], pa.string()))]
        all_ids = ids.combine_chunks()
        return PreviousOutcomes(all_ids, self._encode(all_ids, removed), self.outcomes)

    def _after(self, decisions: PartDecisions, base: Step) -> tuple[pa.Array, pa.Array]:
        """The ids of the rows that a part would have, and the codes of their outcomes.

        If a row is unknown at one step and a later rule drops it in any case, it counts as dropped, although
        the unknown step may reject it first.
        """
        removed: list[tuple[Outcome, pa.Array]] = []
        unknown: list[tuple[Outcome, pa.Array]] = []
        steps = self._steps_on(base)
        rules = [at for at, step in enumerate(steps) if step.kind == "drops"]
        for at, step in enumerate(steps):
            if step.kind != "model":
                result = decisions.outcome(step)
                removed += [
                    (("dropped", step.name), result.dropped),
                    (("rejected", step.name), result.rejected),
                ]
                kind = "unknown" if step.kind == "children" or at <= max(rules, default=-1) else "kept"
                unknown += [((kind, step.name), result.unknown)]
        ids = decisions.outcome(base).kept.ids
        return ids, self._encode(ids, [*removed, *unknown])

    def _encode(self, ids: pa.Array, outcomes: Sequence[tuple[Outcome, pa.Array]]) -> pa.Array:
        """The code of the first outcome that applies to each row; 0 (kept) if none applies."""
        codes = pa.repeat(pa.scalar(0, pa.int64()), len(ids))
        for outcome, selection in outcomes:
            if len(selection):
                applies = pc.and_(pc.equal(codes, 0), pc.is_in(ids, value_set=selection))
                codes = pc.if_else(applies, self._code(outcome), codes)
        return codes

    def _code(self, outcome: Outcome) -> int:
        if outcome not in self.outcomes:
            self.outcomes.append(outcome)
        return self.outcomes.index(outcome)

    def _known_outcomes(self, step: Step, number: int) -> tuple[pa.Array, pa.Array]:
        """The ids of the rows that a stage with the same content key rejected in the run, and passed."""
        none, name = pa.array([], pa.string()), step.name
        if name not in self.history.steps or self.history[name].keys["content"] != step.keys.content:
            return none, none
        row_counts = self.row_counts[name].get(number, RowCounts())
        _, refused, errors = self.history.removed_ids(name, number, row_counts)
        rejected = pa.array([*refused, *errors], pa.string())
        if step.kind != "children":
            return rejected, none
        before = self._before(self.plan[step.parents], number)
        return rejected, before.ids.filter(pc.equal(before.codes, 0))
