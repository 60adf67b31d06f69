"""The forecast of a run: what it would do in each step, computed from existing tables, writing nothing.

Numbers that depend on rows with unknown outcomes are marked as upper limits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow.compute as pc

from manifests.manifest import complete_manifest
from manifests.table import part_name
from pipeline.engine.journal import finished_rows
from pipeline.engine.missing_files import missing_files
from pipeline.engine.steps.rule import existing_parts
from pipeline.planning.plan import Plan, Step
from pipeline.preview.decisions import PartDecisions


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

    @property
    def new(self) -> int | None:
        """Number of rows on which the step has to run; None if it is unknown."""
        return None if self.rows is None else self.rows + self.lacking - self.reused - self.resumed


def forecast(plan: Plan, decide: Callable[[str, int], PartDecisions] | None = None) -> list[StepForecast]:
    """Forecast what a run of `plan` would do, step by step.

    Args:
        plan: The plan.
        decide: Returns the decisions for a part, by the name of its root and its number. By default rules are
            decided only from existing tables.
    """
    decide = decide or (lambda _, number: PartDecisions(plan, number))
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


def _input_root(plan: Plan, step: Step) -> str:
    """The root whose parts hold the rows that enter a step."""
    return plan[step.node.inputs[0]].root if step.kind == "model" else step.root


def _add_part(step_forecast: StepForecast, decisions: PartDecisions) -> None:
    """Add the rows that enter one part of a step, if the part does not exist."""
    step = step_forecast.step
    if step_forecast.complete or step_forecast.rows is None or not step.node.inputs:
        return
    if step.kind != "model" and decisions.has_part(step):
        return
    inputs = decisions.inputs(step)
    if inputs.is_incomplete:
        step_forecast.rows = None
        return
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
        step_forecast.resumed += len(left and left.intersection(inputs.ids.to_pylist()))
