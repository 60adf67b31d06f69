"""Replay runs one step on one row again, in this process, and compares the result with the stored one.

The store does not change: artifacts of the new result go to a temporary folder.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import child_id
from manifests.manifest import columns_of
from manifests.messages import closest_name, join_names
from manifests.row import Row
from manifests.schema import record_of, rows_of, table_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline.dag import Dag
from pipeline.engine.inputs import input_ids, read_columns
from pipeline.engine.journal import RowResult
from pipeline.engine.steps import compare
from pipeline.engine.steps.storing import result_from_error, save_artifacts
from pipeline.errors import PipelineError, RecipeError
from pipeline.grouped import AnnotateGroups
from pipeline.history.explain import row_history
from pipeline.history.find import RowLocation, find_row
from pipeline.history.run_history import RUNS, RunHistory
from pipeline.planning.keys import Keys
from pipeline.planning.plan import Plan, Step
from pipeline.rule import Keep, decide
from pipeline.stage import Annotate, Compare, Expand, Survey


@dataclass(frozen=True)
class ReplayResult:
    """A new result, and the stored one.

    Attributes:
        records: Records of the new result: one, or one per child; empty for a rejected or dropped row.
        reason: Why the row was rejected or dropped now; "" otherwise.
        stored_records: Records in the store.
        stored_reason: Why the row was rejected or dropped in the run; "" otherwise.
        error: The exception that the stage raised now, for its traceback, or None.
        units: The unit of each column that has one.
    """

    step: str
    row: str
    records: Sequence[Mapping[str, Any]]
    reason: str
    stored_records: Sequence[Mapping[str, Any]]
    stored_reason: str
    error: Exception | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        return self.records == self.stored_records and self.reason == self.stored_reason


def replay(history: RunHistory, dag: Dag, name: str, query: str) -> ReplayResult:
    """Run the step `name` of a recorded run on the row that `query` matches.

    Raises:
        PipelineError: there is no such step or row, the row did not reach the step, or the step is a
            source or a launch, which do not run row by row.
    """
    if name not in history.steps or name not in dag.nodes:
        hint = closest_name(name, history.steps)
        raise PipelineError(
            f"no step is named {name!r}",
            where=f"run {history.run}: {join_names(history.steps, 40)}",
            remedy=f"did you mean {hint!r}?" if hint else "use one of these names",
        )
    plan = _plan(history, dag)
    step = plan[name]
    if step.kind in ("source", "model"):
        raise PipelineError(
            f"step {name} is a {step.kind}, which does not run row by row", remedy="run the recipe instead"
        )
    location = find_row(history, query, history.input_table(history[name]))
    row = row_history(history, location, relatives=False)
    if name not in {event.step for event in row.events}:
        raise PipelineError(f"row {location.id} did not reach step {name}: it was {row.summary}")
    with tempfile.TemporaryDirectory(prefix="clipmill-replay-") as folder:
        result = _run_step(plan, step, location, FolderStore(folder))
    stored_records, stored_reason = _stored_result(plan, step, location)
    records = table_of(result.records, step.schema).to_pylist() if not result.kind else []
    error = result.error if isinstance(result, _FailedResult) else None
    units = {str(column["name"]): str(column["unit"]) for column in columns_of(step.schema)}
    return ReplayResult(
        name, location.id, records, result.reason, stored_records, stored_reason, error, units
    )


@dataclass
class _FailedResult(RowResult):
    error: Exception | None = None


def _plan(history: RunHistory, dag: Dag) -> Plan:
    """The recorded plan with the stages of the DAG."""
    steps = {
        step.name: Step(
            node=dag.nodes[step.name],
            keys=Keys(step.keys["run"], step.keys["content"]),
            folder=step.folder,
            base=step.base,
            parents=step.parents,
            root=step.root,
            reads=step.reads,
            depth=step.depth,
        )
        for step in history
        if step.name in dag.nodes
    }
    return Plan(history.dag, history.store, history.run, steps, history.outputs, {})


def _run_step(plan: Plan, step: Step, location: RowLocation, artifacts: FolderStore) -> RowResult:
    """The result of the step for the row now."""
    table = _rows_together(plan, step, location)
    if isinstance(step.node.work, Keep):
        return _evaluate(step.node.work, table, location.id)
    stage = step.stage
    try:
        stage.open()
        if isinstance(stage, Survey):
            results: list[Any] = [_survey_result(plan, step, stage, location)]
        elif isinstance(stage, Compare):
            results = [compare.recompute_row(plan, step, stage, table)]
        else:
            rows = rows_of(table, stage.reads, plan.store)
            at = table["id"].to_pylist().index(location.id)
            results = [list(stage.annotate(rows))[at]] if isinstance(stage, Annotate) else []
            results += list(stage.expand(rows[at])) if isinstance(stage, Expand) else []
        for result in results:
            if isinstance(result, Exception):
                raise result
        records = [
            save_artifacts(_record(step, location, position, row), artifacts, step.folder)
            for position, row in enumerate(results)
        ]
        return RowResult(records=records)
    except Exception as error:
        failed = result_from_error(error)
        shown = None if failed.kind == "reject" else error
        return _FailedResult(kind=failed.kind, reason=failed.reason, error=shown)


def _rows_together(plan: Plan, step: Step, location: RowLocation) -> pa.Table:
    """The row with the columns that the step reads, and the other rows of its group if it decides groups."""
    work, own = step.node.work, pa.array([location.id], pa.string())
    group_by = work.group_by if isinstance(work, AnnotateGroups) else getattr(work, "across", "")
    ids = input_ids(plan, step, location.part) if group_by else own
    table = read_columns(plan, location.base, step.reads, location.part, ids)
    if not group_by:
        return table
    group = table.filter(pc.equal(table["id"], location.id))[group_by][0]
    return table.filter(pc.equal(table[group_by], group))


def _evaluate(rule: Keep, table: pa.Table, row: str) -> RowResult:
    holds = decide([rule], table)[0][table["id"].to_pylist().index(row)].as_py()
    reasons = {True: "", False: rule.because, None: "a value is missing"}
    return RowResult(kind="" if holds else "reject", reason=reasons[holds])


def _record(step: Step, location: RowLocation, position: int, row: Row) -> dict[str, Any]:
    if step.kind != "children":
        return {"id": location.id, **record_of(row)}
    keys = [getattr(row, name) for name in row.key_names()] or [position]
    return {"id": child_id(location.id, *keys), "parent": location.id, **record_of(row)}


def _survey_result(plan: Plan, step: Step, stage: Survey[Any, Any], location: RowLocation) -> Any:
    """The result for a row among all rows of its group, with the stored result of `fit`."""
    numbers = parts_of(plan.store, f"{step.folder}/assigned")
    by_part = {number: _assigned(plan, step, number) for number in numbers}
    own = by_part[location.part]
    group = own.filter(pc.equal(own["id"], location.id))["group"][0].as_py()
    tables = []
    for number, assigned in by_part.items():
        ids = assigned.filter(pc.equal(assigned["group"], group))["id"].combine_chunks()
        if len(ids):
            tables.append(read_columns(plan, step.base, step.reads, number, ids))
    whole = pa.concat_tables(tables).sort_by("id")
    rows = rows_of(whole, stage.reads, plan.store)
    fitted = plan.store.read(f"{step.folder}/fitted.bin")
    return list(stage.settle(group, rows, fitted))[whole["id"].to_pylist().index(location.id)]


def _assigned(plan: Plan, step: Step, number: int) -> pa.Table:
    return read_part(plan.store, f"{step.folder}/assigned/{part_name(number)}")


def _stored_result(plan: Plan, step: Step, location: RowLocation) -> tuple[list[dict[str, Any]], str]:
    """The stored records of a row, or why it was rejected or dropped."""
    name = f"{step.folder}/{part_name(location.part)}"
    if not plan.store.exists(name):
        return [], "this part is not done yet"
    rejects = read_row_counts(plan.store, name).rejects
    if rejects:
        rejected = read_part(plan.store, f"{step.folder}/{rejects}")
        for row in rejected.filter(pc.equal(rejected["id"], location.id)).to_pylist():
            return [], "a value is missing" if step.kind == "drops" else row["reason"]
    part = read_part(plan.store, name)
    owner = part["parent" if step.kind == "children" else "id"]
    records = part.filter(pc.equal(owner, location.id)).to_pylist()
    if step.kind == "drops":
        return [], records[0]["rule"] if records else ""
    return records, ""


def dag_of_run(history: RunHistory) -> Dag:
    """The DAG that a run recorded.

    Raises:
        RecipeError: there is none, or one of its stages is not found or is outside `stages`.
    """
    from pipeline.recipes.yaml_text import from_yaml

    name = f"{RUNS}/{history.run}/recipe.yaml"
    try:
        return from_yaml(history.store.read(name).decode(), f"{history.store.url}/{name}")
    except (RecipeError, FileNotFoundError) as error:
        raise RecipeError(
            f"the recorded recipe cannot be read: {getattr(error, 'what', error)}",
            where=getattr(error, "where", "") or f"{history.store.url}/{name}",
            remedy="pass the recipe that was run: --recipe FILE --knob name=value …",
        ) from error
