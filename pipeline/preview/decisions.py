"""The decisions of a run for one part number, computed from existing tables without writing anything.

Rules are decided in memory if the columns that they read are known, from tables with the same content key.
Stages that read only the store can be run too. A row with an unknown outcome is assumed to pass, and marked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import id_of
from manifests.predicate import evaluate
from manifests.schema import rows_of, table_of
from manifests.table import part_name, read_part, read_row_counts
from pipeline.engine.batches.attempts import run_with_retries
from pipeline.engine.steps import rowwise
from pipeline.engine.steps.expand_many import expand_table, rows_without_children
from pipeline.engine.steps.reuse import reusable_rows
from pipeline.engine.steps.rule import is_readable
from pipeline.grouped import AnnotateGroups
from pipeline.planning.plan import Plan, Step
from pipeline.rule import Keep, decide_groups, group_has
from pipeline.stage import Compare, Stage, Survey, Unavailable

_NONE = pa.array([], pa.string())
KnownOutcomes = Callable[[Step, int], tuple[pa.Array, pa.Array]]
ComparisonResult = Callable[[Step, int], pa.Table | None]


@dataclass(frozen=True)
class StepInput:
    """The rows that enter a step.

    Attributes:
        ids: Their ids.
        is_exact: Whether exactly these rows enter; otherwise `ids` is an upper limit.
        is_incomplete: Whether rows are missing because their parents were never expanded.
    """

    ids: pa.Array
    is_exact: bool = True
    is_incomplete: bool = False


@dataclass(frozen=True)
class StepOutcome:
    """The outcomes of the rows that enter a step.

    Attributes:
        kept: The rows that enter the next step; if the step makes rows, these are the children.
        dropped, rejected: Ids of the rows that the step drops and rejects.
        unknown: Ids of rows with an unknown outcome. Unless the step makes rows, they are also in `kept`.
    """

    kept: StepInput
    dropped: pa.Array = field(default_factory=lambda: _NONE)
    rejected: pa.Array = field(default_factory=lambda: _NONE)
    unknown: pa.Array = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class RuleDecision:
    """A rule that was decided in memory.

    Attributes:
        ids, columns: Ids of the rows that entered, and the columns that the rule reads, in the same order.
        verdict: True if the rule keeps the row, false if it drops it, null if a value is missing.
        is_unknown: Whether a value is not known yet, for each row.
    """

    ids: pa.Array
    columns: pa.Table
    verdict: pa.Array
    is_unknown: pa.Array


@dataclass
class PartDecisions:
    """The decisions of all steps of a plan for one part number.

    Attributes:
        plan, number: The plan and the part number.
        run_stages: Whether stages that read only the store are run, in this process.
        extra_columns: Names of further columns that the caller reads.
        known_outcomes: Returns, for a step and a part number, the ids of rows that the step rejected in an
            earlier run and of those that it passed, with or without children.
        comparison: Returns the result of a comparison for a part, or None if it is unknown.
        small_comparisons: Names of comparisons with few rows, which can be run as well.
        rule_decisions: The rules that were decided in memory, by step.
    """

    plan: Plan
    number: int
    run_stages: bool = False
    extra_columns: frozenset[str] = frozenset()
    known_outcomes: KnownOutcomes = lambda step, number: (_NONE, _NONE)
    comparison: ComparisonResult = lambda step, number: None
    small_comparisons: frozenset[str] = frozenset()
    rule_decisions: dict[str, RuleDecision] = field(default_factory=dict)
    _outcomes: dict[str, StepOutcome] = field(default_factory=dict)
    _tables: dict[str, pa.Table | None] = field(default_factory=dict)
    _rejected: dict[str, pa.Array] = field(default_factory=dict)
    _without_children: dict[str, pa.Array] = field(default_factory=dict)

    def has_part(self, step: Step) -> bool:
        """Whether the part of a step exists and need not be made again."""
        name = f"{step.folder}/{part_name(self.number)}"
        return self.plan.store.exists(name) if step.kind != "drops" else is_readable(self.plan.store, name)

    def inputs(self, step: Step) -> StepInput:
        """The rows that enter a step."""
        first, *rest = [self.outcome(self.plan[name]).kept for name in step.node.inputs]
        for other in rest:
            ids, is_exact = _among(first.ids, other.ids), first.is_exact and other.is_exact
            first = StepInput(ids, is_exact, first.is_incomplete or other.is_incomplete)
        return first

    def outcome(self, step: Step) -> StepOutcome:
        """The outcomes of the rows that enter a step."""
        if step.name not in self._outcomes:
            self._outcomes[step.name] = self._compute_outcome(step)
        return self._outcomes[step.name]

    def table(self, step: Step) -> pa.Table | None:
        """The known rows of a step's part, with the columns that rules and other stages read."""
        if step.name not in self._tables:
            self._tables[step.name] = self._known_rows(step)
        return self._tables[step.name]

    def values(self, base: str, name: str, author: Step, ids: pa.Array) -> tuple[pa.Array, pa.Array]:
        """A column of the rows `ids` of `base`, and for each row whether its value is unknown."""
        for table in self._path_to_ancestor(base, author.base):
            ids = _lookup(table, "parent", ids)
        table = self.table(author)
        if table is None:
            return pa.nulls(len(ids), author.schema.field(name).type), pa.array([True] * len(ids), pa.bool_())
        known = table.column("id").combine_chunks()
        if known.equals(ids):
            return table.column(name).combine_chunks(), pa.repeat(False, len(ids))
        at = pc.index_in(ids, value_set=known)
        return table.column(name).combine_chunks().take(at), pc.is_null(at)

    def input_table(self, step: Step) -> pa.Table | None:
        """The rows that enter a step with all columns that it reads; None if some of it is unknown."""
        inputs, columns = self.inputs(step), {}
        if not inputs.is_exact or inputs.is_incomplete:
            return None
        base = self.plan[step.node.inputs[0]].base
        for name, author in step.reads.items():
            columns[name], is_unknown = self.values(base, name, self.plan[author], inputs.ids)
            if pc.any(is_unknown).as_py():
                return None
        return pa.table({"id": inputs.ids, **columns})

    def _compute_outcome(self, step: Step) -> StepOutcome:
        if not step.node.inputs:
            name = f"{step.folder}/{part_name(self.number)}"
            return StepOutcome(StepInput(self._ids(name) if self.has_part(step) else _NONE))
        if self.has_part(step):
            return self._read_outcome(step)
        if step.kind == "model":
            return StepOutcome(StepInput(pa.array([id_of("model", step.keys.run)])))
        inputs = self.inputs(step)
        if isinstance(step.node.work, Keep):
            return self._decide_rule(step, step.node.work, inputs)
        known = self.table(step)
        if known is None and _never_rejects(step.stage):
            return StepOutcome(inputs)
        rejected = self._rejected.get(step.name, _NONE)
        known_ids = known.column(_owner(step)).combine_chunks() if known else _NONE
        not_rejected = _without(inputs.ids, rejected)
        unknown = _without(not_rejected, known_ids)
        if step.kind == "children":
            unknown = _without(unknown, self._without_children.get(step.name, _NONE))
            ids = known.column("id").combine_chunks() if known else _NONE
            children = StepInput(ids, inputs.is_exact, inputs.is_incomplete or len(unknown) > 0)
            return StepOutcome(children, _NONE, rejected, unknown)
        kept = StepInput(not_rejected, inputs.is_exact and not len(unknown), inputs.is_incomplete)
        return StepOutcome(kept, _NONE, rejected, unknown)

    def _read_outcome(self, step: Step) -> StepOutcome:
        """The outcomes that an existing part records."""
        own = self._ids(name := f"{step.folder}/{part_name(self.number)}")
        rejects_file = read_row_counts(self.plan.store, name).rejects
        rejected = self._ids(f"{step.folder}/{rejects_file}") if rejects_file else _NONE
        if step.kind != "drops":
            return StepOutcome(StepInput(own), _NONE, rejected)
        kept = _without(_without(self.inputs(step).ids, own), rejected)
        return StepOutcome(StepInput(kept), own, rejected)

    def _known_rows(self, step: Step) -> pa.Table | None:
        columns = [c for c in step.schema.names if c in self._needed_columns(step)]
        if self.has_part(step):
            return read_part(self.plan.store, f"{step.folder}/{part_name(self.number)}", columns)
        if step.kind == "survey" and self._can_run(step):
            return self.comparison(step, self.number)
        if step.kind not in ("layer", "children"):
            return None
        inputs, source, owner = self.inputs(step), self.outcome(self.plan[step.root]).kept.ids, _owner(step)
        reusable = reusable_rows(self.plan, step, self.number, inputs.ids, owner, columns, source)
        new = _without(inputs.ids, reusable.column(owner).combine_chunks())
        if self._can_run(step):
            return pa.concat_tables([reusable, self._run_stage(step, new).select(columns)])
        if len(new):
            rejected, self._without_children[step.name] = self.known_outcomes(step, self.number)
            self._rejected[step.name] = _among(new, rejected)
        return reusable

    def _run_stage(self, step: Step, ids: pa.Array) -> pa.Table:
        """Run the stage on new rows whose input columns are known."""
        base = self.plan[step.node.inputs[0]].base
        inputs = {name: self.values(base, name, self.plan[by], ids) for name, by in step.reads.items()}
        is_unknown = reduce(pc.or_, (lacking for _, lacking in inputs.values()), pa.repeat(False, len(ids)))
        if isinstance(step.stage, AnnotateGroups):  # a group is complete or unknown
            is_unknown = group_has(is_unknown, inputs[step.stage.group_by][0])
        columns = {"id": ids, **{name: column for name, (column, _) in inputs.items()}}
        known = pa.table(columns).filter(pc.invert(is_unknown))
        table = rows_without_children(known, many := expand_table(step, step.stage, known))
        records, rejected, passed = list[dict[str, object]](), list[str](), list[str]()
        compute = partial(rowwise.run_stage, self.plan, step, step.stage)
        rows = rows_of(table, step.stage.reads, self.plan.store)
        for batch in rowwise.groups_of(step.stage, list(zip(table["id"].to_pylist(), rows, strict=True))):
            for row, result in run_with_retries(step, compute, batch).items():
                if isinstance(result, Unavailable):
                    raise result
                records += result.records
                (rejected if result.kind else passed).append(row)
        self._rejected[step.name] = pa.array(rejected, pa.string())
        self._without_children[step.name] = pa.array(passed, pa.string())
        return pa.concat_tables([many, table_of(records, step.schema)])

    def _decide_rule(self, step: Step, rule: Keep, inputs: StepInput) -> StepOutcome:
        """Decide a rule. A row with an unknown value is assumed to pass."""
        columns, is_unknown = {}, pa.repeat(False, len(inputs.ids))
        for name, author in step.reads.items():
            columns[name], lacking = self.values(step.base, name, self.plan[author], inputs.ids)
            is_unknown = pc.or_(is_unknown, lacking)
        table = pa.table(columns)
        verdict = evaluate(rule.where, table)
        if rule.across:
            verdict, is_unknown = decide_groups(rule, verdict, is_unknown, columns[rule.across])
        self.rule_decisions[step.name] = RuleDecision(inputs.ids, table, verdict, is_unknown)
        is_known = pc.invert(is_unknown)
        kept = inputs.ids.filter(pc.or_(pc.fill_null(verdict, False), is_unknown))
        is_exact = inputs.is_exact and not pc.any(is_unknown).as_py()
        return StepOutcome(
            kept=StepInput(kept, is_exact, inputs.is_incomplete),
            dropped=inputs.ids.filter(pc.and_(pc.fill_null(pc.invert(verdict), False), is_known)),
            rejected=inputs.ids.filter(pc.and_(pc.is_null(verdict), is_known)),
            unknown=inputs.ids.filter(is_unknown),
        )

    def _needed_columns(self, step: Step) -> set[str]:
        """The columns of a step that rules, or stages that can be run, read."""
        columns = {"id", "parent", *self.extra_columns}
        for reader in self.plan.dependents[step.name]:
            if isinstance(reader.node.work, Keep) or self._can_run(reader):
                columns.update(name for name, author in reader.reads.items() if author == step.name)
        return columns

    def _can_run(self, step: Step) -> bool:
        """Whether the stage of a step can be run in this process."""
        return self.run_stages and (step.stage.from_store or step.name in self.small_comparisons)

    def _path_to_ancestor(self, base: str, ancestor: str) -> Iterator[pa.Table]:
        """The tables whose `parent` columns lead from rows of `base` to rows of `ancestor`."""
        while base != ancestor:
            table = self.table(self.plan[base])
            assert table is not None  # the rows come from this table
            yield table
            base = self.plan[base].parents

    def _ids(self, name: str) -> pa.Array:
        return read_part(self.plan.store, name, ["id"]).column("id").combine_chunks()


def _never_rejects(stage: Stage[Any, Any]) -> bool:
    """Whether a stage passes every row, so that its outcomes are known before it has run."""
    return isinstance(stage, Compare) or (isinstance(stage, Survey) and stage.never_rejects)


def _lookup(table: pa.Table, name: str, ids: pa.Array) -> pa.Array:
    known = table.column("id").combine_chunks()
    return table.column(name).combine_chunks().take(pc.index_in(ids, value_set=known))


def _among(ids: pa.Array, selection: pa.Array) -> pa.Array:
    return ids.filter(pc.is_in(ids, value_set=selection))


def _without(ids: pa.Array, selection: pa.Array) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=selection))) if len(selection) else ids


def _owner(step: Step) -> str:
    return "parent" if step.kind == "children" else "id"
