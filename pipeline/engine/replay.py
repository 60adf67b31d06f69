"""Replay: one step on one row again, in this process, and the answer beside the one that is stored.

Nothing in the store is touched: artifacts of the answer go to a temporary folder.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import child_id
from manifests.messages import closest_name, join_names
from manifests.predicate import evaluate
from manifests.row import Row
from manifests.schema import record_of, rows_of, table_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline.dag import Dag, Keep
from pipeline.engine.inputs import columns_for
from pipeline.engine.journal import Answer
from pipeline.engine.steps import compare
from pipeline.engine.steps.storing import answer_of, stored
from pipeline.errors import PipelineError, RecipeError
from pipeline.history.explain import life_of
from pipeline.history.find import Found, find
from pipeline.history.run_history import RUNS, Past
from pipeline.planning.keys import Keys
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Annotate, Compare, Expand, Survey


@dataclass(frozen=True)
class Replayed:
    """An answer, and the one that is stored.

    Attributes:
        given: the records of the answer given now: one, or one per child; none for a row set aside.
        said: why the row was set aside or dropped now; "" otherwise.
        error: what the stage raised, for those who want to see where; None if it answered.
    """

    step: str
    row: str
    given: Sequence[Mapping[str, Any]]
    said: str
    stored: Sequence[Mapping[str, Any]]
    stored_said: str
    error: Exception | None = None

    @property
    def equal(self) -> bool:
        return self.given == self.stored and self.said == self.stored_said


def replay(past: Past, dag: Dag, name: str, what: str) -> Replayed:
    """Run the step `name` of a recorded run on the row that `what` names.

    Raises:
        PipelineError: there is no such step or row, the row did not come to the step, or the step is
            a source or a launch, which have no rows to be run on one by one.
    """
    if name not in past.steps or name not in dag.nodes:
        hint = closest_name(name, past.steps)
        raise PipelineError(
            f"no step is named {name!r}",
            where=f"run {past.run}: {join_names(past.steps, 40)}",
            remedy=f"did you mean {hint!r}?" if hint else "name one of these",
        )
    plan = _plan(past, dag)
    step = plan[name]
    if step.kind in ("source", "model"):
        raise PipelineError(
            f"{name} is a {step.kind}: it is not run row by row", remedy="run the recipe instead"
        )
    found = find(past, what, past.came_from(past[name]))
    life = life_of(past, found, family=False)
    if name not in {event.step for event in life.events}:
        raise PipelineError(f"{found.id} did not come to {name}: it was {life.verdict}")
    with tempfile.TemporaryDirectory(prefix="clipmill-replay-") as folder:
        answer = _answer(plan, step, found, FolderStore(folder))
    before, why = _stored(plan, step, found)
    records = table_of(answer.records, step.schema).to_pylist() if not answer.kind else []
    error = answer.error if isinstance(answer, _Failed) else None
    return Replayed(name, found.id, records, answer.reason, before, why, error)


@dataclass
class _Failed(Answer):
    error: Exception | None = None


def _plan(past: Past, dag: Dag) -> Plan:
    """The recorded plan, with the stages of the DAG in it."""
    steps = {
        step.name: Step(
            node=dag.nodes[step.name],
            keys=Keys(**step.keys),
            folder=step.folder,
            base=step.base,
            parents=step.parents,
            root=step.root,
            reads=step.reads,
            depth=step.depth,
        )
        for step in past
        if step.name in dag.nodes
    }
    return Plan(past.dag, past.store, past.run, steps, past.outputs, {})


def _answer(plan: Plan, step: Step, found: Found, aside: FolderStore) -> Answer:
    """What the step says of the row now."""
    table = columns_for(plan, found.base, step.reads, found.part, pa.array([found.id], pa.string()))
    if isinstance(step.node.work, Keep):
        return _verdict(step.node.work, table)
    stage = step.stage
    try:
        stage.open()
        if isinstance(stage, Survey):
            given: list[Any] = [_of_survey(plan, step, stage, found)]
        elif isinstance(stage, Compare):
            given = [compare.again(plan, step, stage, table)]
        else:
            (row,) = rows_of(table, stage.reads, plan.store)
            given = list(stage.annotate([row])) if isinstance(stage, Annotate) else []
            given += list(stage.expand(row)) if isinstance(stage, Expand) else []
        for answer in given:
            if isinstance(answer, Exception):
                raise answer
        records = [
            stored(_record(step, found, place, row), aside, step.folder) for place, row in enumerate(given)
        ]
        return Answer(records=records)
    except Exception as error:
        told = answer_of(error)
        return _Failed(kind=told.kind, reason=told.reason, error=None if told.kind == "reject" else error)


def _verdict(rule: Keep, table: pa.Table) -> Answer:
    held = evaluate(rule.where, table)[0].as_py()
    reasons = {True: "", False: rule.because, None: "a value is missing"}
    return Answer(kind="" if held else "reject", reason=reasons[held])


def _record(step: Step, found: Found, place: int, row: Row) -> dict[str, Any]:
    if step.kind != "children":
        return {"id": found.id, **record_of(row)}
    keys = [getattr(row, name) for name in row.key_names()] or [place]
    return {"id": child_id(found.id, *keys), "parent": found.id, **record_of(row)}


def _of_survey(plan: Plan, step: Step, stage: Survey[Any, Any], found: Found) -> Any:
    """The answer for a row among all rows of its group, with what the survey was fitted to."""
    group, tables = "", []
    homes = {
        number: _assigned(plan, step, number) for number in parts_of(plan.store, f"{step.folder}/assigned")
    }
    home = homes[found.part]
    group = home.filter(pc.equal(home["id"], found.id))["group"][0].as_py()
    for number, assigned in homes.items():
        ids = assigned.filter(pc.equal(assigned["group"], group))["id"].combine_chunks()
        if len(ids):
            tables.append(columns_for(plan, step.base, step.reads, number, ids))
    whole = pa.concat_tables(tables).sort_by("id")
    rows = rows_of(whole, stage.reads, plan.store)
    fitted = plan.store.read(f"{step.folder}/fitted.bin")
    return list(stage.settle(group, rows, fitted))[whole["id"].to_pylist().index(found.id)]


def _assigned(plan: Plan, step: Step, number: int) -> pa.Table:
    return read_part(plan.store, f"{step.folder}/assigned/{part_name(number)}")


def _stored(plan: Plan, step: Step, found: Found) -> tuple[list[dict[str, Any]], str]:
    """The stored records of a row, or why it was set aside or dropped."""
    name = f"{step.folder}/{part_name(found.part)}"
    if not plan.store.exists(name):
        return [], "this part is not done yet"
    rejects = read_row_counts(plan.store, name).rejects
    if rejects:
        aside = read_part(plan.store, f"{step.folder}/{rejects}")
        for row in aside.filter(pc.equal(aside["id"], found.id)).to_pylist():
            return [], "a value is missing" if step.kind == "drops" else row["reason"]
    part = read_part(plan.store, name)
    mine = part.filter(pc.equal(part["parent" if step.kind == "children" else "id"], found.id)).to_pylist()
    if step.kind == "drops":
        return [], mine[0]["rule"] if mine else ""
    return mine, ""


def dag_of_run(past: Past) -> Dag:
    """The DAG as a run recorded it.

    Raises:
        RecipeError: there is none, or a stage of it cannot be found, or lies outside `stages`.
    """
    from pipeline.recipes.yaml_text import from_yaml

    name = f"{RUNS}/{past.run}/recipe.yaml"
    try:
        return from_yaml(past.store.read(name).decode(), f"{past.store.url}/{name}")
    except (RecipeError, FileNotFoundError) as error:
        raise RecipeError(
            f"the recorded recipe cannot be read: {getattr(error, 'what', error)}",
            where=getattr(error, "where", "") or f"{past.store.url}/{name}",
            remedy="name the recipe that was run: --recipe FILE --knob name=value …",
        ) from error
