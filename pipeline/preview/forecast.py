"""The forecast of a run: what it would do in each step, computed from existing tables, writing nothing.

Numbers that depend on rows with unknown outcomes are marked as upper limits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from manifests.manifest import complete_manifest
from manifests.table import part_name
from pipeline.engine.journal import finished_rows
from pipeline.engine.missing_files import missing_files
from pipeline.engine.steps.reuse import rejected_rows
from pipeline.engine.steps.rule import existing_parts
from pipeline.planning.part_sizes import SIZE_COLUMN
from pipeline.planning.plan import Plan, Step
from pipeline.preview.decisions import PartDecisions
from pipeline.preview.listed import ListedPart, ids_listed_before, list_parts
from pipeline.stage import Stage


@dataclass
class StepForecast:
    """What a run would do in one step.

    Attributes:
        step: The step.
        complete: Whether its table is complete.
        existing_parts: Number of parts that exist.
        parts: Number of parts that the table will have; None if its source is not listed yet.
        rows: Number of rows that will enter the parts that do not exist; None if it is unknown.
        reused: Number of these rows that an earlier table holds; they are copied.
        resumed: Number of the other rows that a stopped run has finished; their results are in journals.
        lacking: Number of rows of existing parts whose files were deleted; they are made again.
        is_exact: Whether `rows` is exact; otherwise it is an upper limit.
        counts: The rows of all parts, from which costs are estimated.
    """

    step: Step
    complete: bool
    existing_parts: int
    parts: int | None
    rows: int | None = 0
    reused: int = 0
    resumed: int = 0
    lacking: int = 0
    is_exact: bool = True
    counts: "KnownCounts" = field(default_factory=lambda: KnownCounts())

    @property
    def decodes(self) -> bool:
        """Whether the step decodes video."""
        return bool(_decodes(self.step))

    @property
    def new(self) -> int | None:
        """Number of rows on which the step has to run; None if it is unknown."""
        return None if self.rows is None else self.rows + self.lacking - self.reused - self.resumed


@dataclass
class KnownCounts:
    """What is known of the rows of all parts of a step, existing or not.

    Attributes:
        existing: Rows that entered the parts that exist.
        decided: Rows whose outcome is known.
        passed: Rows that the step passes on for them.
        new: Rows on which the step has to run, as far as they are known.
        seconds, timed: Seconds of video that known rows make the stage decode, and the number of these rows.
        new_seconds, new_timed: The same for the rows of `new`.
        size_bytes, new_bytes: Sizes of the source files of the rows of `timed` and of `new`.
    """

    existing: int = 0
    decided: int = 0
    passed: int = 0
    new: int = 0
    seconds: float = 0.0
    timed: int = 0
    new_seconds: float = 0.0
    new_timed: int = 0
    size_bytes: int = 0
    new_bytes: int = 0


def forecast(plan: Plan, decide: Callable[[str, int], PartDecisions] | None = None) -> list[StepForecast]:
    """Forecast what a run of `plan` would do, step by step.

    Args:
        plan: The plan.
        decide: Returns the decisions for a part, by the name of its root and its number. By default rules are
            decided only from existing tables, and a source without a table is listed.
    """
    listed: dict[str, list[pa.Table]] = {}
    is_listing, decide = decide is None, decide or partial(_decide_listed, plan, listed)
    steps: dict[str, StepForecast] = {}
    missing = missing_files(plan)
    for step in plan:
        existing = existing_parts(plan, step, remove=False)
        complete = complete_manifest(plan.store, step.folder, existing) is not None
        root = steps.get(step.root)
        parts = root.parts if root else len(existing) if complete else 1 if step.kind == "model" else None
        lacking = missing.get(step.name, {})
        found = StepForecast(step, complete and not lacking, len(existing) - len(lacking), parts)
        found.lacking = sum(lacking.values())
        if is_listing and step.kind == "source" and not complete:
            _list_source(plan, found, listed)
        steps[step.name] = found
    for each in steps.values():
        if not each.complete and steps[_input_root(plan, each.step)].parts is None:
            each.rows = None
    for root_name in {each.step.root for each in steps.values()}:
        for number in range(steps[root_name].parts or 0):
            decisions = decide(root_name, number)
            for each in steps.values():
                if _input_root(plan, each.step) == root_name:
                    _add_part(each, decisions)
    return list(steps.values())


def _decide_listed(plan: Plan, listed: Mapping[str, list[pa.Table]], root: str, number: int) -> PartDecisions:
    """Decisions for a part; its source is listed if it has no table yet."""
    columns = frozenset({SIZE_COLUMN, *(_decodes(step) for step in plan)} - {""})
    rows = {root: listed[root][number]} if root in listed else {}
    outcomes = partial(_known_outcomes, plan, rows)
    return ListedPart(plan, number, extra_columns=columns, known_outcomes=outcomes, listed=rows)


def _known_outcomes(
    plan: Plan, listed: Mapping[str, pa.Table], step: Step, number: int
) -> tuple[pa.Array, pa.Array]:
    """The ids of the rows that earlier tables with the same content key rejected; others may pass."""
    source_ids = listed[step.root]["id"] if step.root in listed else None
    return rejected_rows(plan, step, number, source_ids), pa.array([], pa.string())


def _list_source(plan: Plan, found: StepForecast, listed: dict[str, list[pa.Table]]) -> None:
    """List the rows of a source, and count those that no earlier table of the source has."""
    parts = list_parts(found.step)
    if parts is None:
        return
    before = ids_listed_before(plan.store, found.step)
    ids = [row for part in parts for row in part.column("id").to_pylist()]
    listed[found.step.name] = parts
    found.parts, found.rows = len(parts), len(ids)
    found.reused = sum(row in before for row in ids)


def _input_root(plan: Plan, step: Step) -> str:
    """The root whose parts hold the rows that enter a step."""
    return plan[step.node.inputs[0]].root if step.kind == "model" else step.root


def _add_part(step_forecast: StepForecast, decisions: PartDecisions) -> None:
    """Add the rows that enter one part of a step, if the part does not exist."""
    step, counts = step_forecast.step, step_forecast.counts
    if step_forecast.complete or not step.node.inputs:
        return
    inputs = decisions.inputs(step)
    if step.kind != "model":
        _count_outcomes(counts, step, decisions)
        if decisions.has_part(step):
            counts.existing += len(inputs.ids)
            return
    if inputs.is_incomplete:
        step_forecast.rows = None
    if step_forecast.rows is not None:
        step_forecast.rows += len(inputs.ids)
    step_forecast.is_exact = step_forecast.is_exact and inputs.is_exact
    if step.kind in ("layer", "children"):
        known = decisions.table(step)
        owner = "parent" if step.kind == "children" else "id"
        reused = pc.unique(known.column(owner)) if known else inputs.ids.slice(0, 0)
        step_forecast.reused += len(reused)
        name = f"{step.folder}/{part_name(decisions.number)}"
        finished = finished_rows(decisions.plan.store.scratch(name, create=False))
        left = finished.difference(reused.to_pylist()) if finished else ()
        resumed = left and left.intersection(inputs.ids.to_pylist())
        step_forecast.resumed += len(resumed)
        gone = pa.array([*reused.to_pylist(), *resumed], pa.string())
        _count_new(
            counts, step, decisions, inputs.ids.filter(pc.invert(pc.is_in(inputs.ids, value_set=gone)))
        )


def _count_outcomes(counts: KnownCounts, step: Step, decisions: PartDecisions) -> None:
    """Add the rows of a part whose outcome is known, and the seconds of video of those that were decoded."""
    ids, outcome = decisions.inputs(step).ids, decisions.outcome(step)
    unknown = len(outcome.unknown)
    counts.decided += len(ids) - unknown
    counts.passed += len(outcome.kept.ids) - (0 if step.kind == "children" else unknown)
    seconds, sizes = _decoded(step, decisions, ids)
    counts.seconds, counts.timed = counts.seconds + sum(seconds), counts.timed + len(seconds)
    counts.size_bytes += sum(sizes)


def _count_new(counts: KnownCounts, step: Step, decisions: PartDecisions, ids: pa.Array) -> None:
    """Add the rows of a part on which the step has to run."""
    seconds, _ = _decoded(step, decisions, ids)
    counts.new += len(ids)
    counts.new_seconds, counts.new_timed = counts.new_seconds + sum(seconds), counts.new_timed + len(seconds)
    size = _author(decisions.plan, step, SIZE_COLUMN)
    if _decodes(step) and size and size.base == step.base:
        counts.new_bytes += sum(_values(decisions, step, SIZE_COLUMN, ids).drop_null().to_pylist())


def _decoded(step: Step, decisions: PartDecisions, ids: pa.Array) -> tuple[list[float], list[int]]:
    """The seconds of video of the rows for which they are known, and the sizes of their source files."""
    if not _decodes(step) or _author(decisions.plan, step, _decodes(step)) is None:
        return [], []
    seconds = _values(decisions, step, _decodes(step), ids)
    known = seconds.is_valid()
    size = _author(decisions.plan, step, SIZE_COLUMN)
    sizes = (
        _values(decisions, step, SIZE_COLUMN, ids.filter(known)) if size and size.base == step.base else None
    )
    return seconds.filter(known).to_pylist(), sizes.drop_null().to_pylist() if sizes is not None else []


def _decodes(step: Step) -> str:
    """The column with the seconds of video that a row makes the step decode; "" if it decodes none."""
    return step.node.work.decodes if isinstance(step.node.work, Stage) else ""


def _values(decisions: PartDecisions, step: Step, column: str, ids: pa.Array) -> pa.Array:
    author = _author(decisions.plan, step, column)
    assert author is not None
    return decisions.values(step.base, column, author, ids)[0]


def _author(plan: Plan, step: Step, column: str) -> Step | None:
    """The step before `step` that adds a column to its rows, or to the rows from which they were made."""
    bases: list[str] = []
    base = step.base
    while base:
        bases, base = [*bases, base], plan[base].parents
    makers = [s for s in plan if s.base in bases and s.kind != "drops" and column in s.schema.names]
    return next((s for s in makers if s.depth < step.depth), None)
