"""A plan: the steps of a DAG that its outputs need, each with its folder in one store.

A plan is an immutable value that is sent to the workers.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from manifests.rows.drop import DropRow
from manifests.schema import schema_of
from manifests.store import Store
from pipeline.dag import Dag, Keep, Node
from pipeline.errors import PlanError
from pipeline.planning.keys import Keys, columns_read, compute_keys, made_by
from pipeline.stage import Annotate, Compare, Expand, Launch, Source, Stage, Survey

RETRIES = "retries"  # folder of the store with the run keys of replaced tables


@dataclass(frozen=True)
class Step:
    """A node with its location in a store.

    Attributes:
        node: The node of the DAG.
        keys: Its keys.
        folder: Its folder in the store.
        base: The step that creates the rows it works on; its own name if it creates rows.
        parents: The base of the parent rows, or "".
        root: The step whose parts determine the parts of this step.
        reads: The columns it reads, each with the step that adds it.
        depth: Length of the longest path from a source. Deeper steps have priority.
    """

    node: Node
    keys: Keys
    folder: str
    base: str
    parents: str
    root: str
    reads: Mapping[str, str]
    depth: int

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def kind(self) -> str:
        """The kind of its table: source, layer, children, drops, survey or model."""
        kinds: dict[type[Any], str] = {
            Source: "source", Annotate: "layer", Expand: "children",
            Keep: "drops", Survey: "survey", Compare: "survey", Launch: "model",
        }  # fmt: skip
        return next(name for kind, name in kinds.items() if isinstance(self.node.work, kind))

    @property
    def read_steps(self) -> tuple[str, ...]:
        """The steps whose tables it reads."""
        return tuple(dict.fromkeys((*self.node.inputs, *self.reads.values())))

    @property
    def is_barrier(self) -> bool:
        """Whether the step waits until its input is complete."""
        return self.kind in ("survey", "model")

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of its table: ids and the columns it adds."""
        if isinstance(self.node.work, Keep):
            return schema_of(DropRow)
        adds = schema_of(self.node.work.adds)
        if self.kind == "children":
            return pa.schema([_id_field(), pa.field("parent", pa.string(), False), *adds])
        return adds if "id" in adds.names else pa.schema([_id_field(), *adds])

    @property
    def stage(self) -> Stage[Any, Any]:
        assert isinstance(self.node.work, Stage)
        return self.node.work

    def made_by(self) -> Mapping[str, Any]:
        return made_by(self.node, self.keys.digest)

    def notes(self) -> tuple[str, ...]:
        """What the user must know about the inputs of a source. See `Source.notes`."""
        return self.node.work.notes() if isinstance(self.node.work, Source) else ()


@dataclass(frozen=True)
class Plan:
    """The steps to run, in topological order.

    Attributes:
        dag: Name of the DAG.
        store: The store of the tables.
        run: Name of this run. It distinguishes the crashes of this run from those of earlier runs.
        steps: Steps by name.
        outputs: For each output, the steps that a row must have passed.
        columns: For each output, its columns with the steps that add them.
        row_timeout_s: Seconds after which a worker is ended in which a row is not finished; 0: never.
    """

    dag: str
    store: Store
    run: str
    steps: Mapping[str, Step]
    outputs: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Mapping[str, str]]
    row_timeout_s: float = 0.0

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps.values())

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]

    @cached_property
    def dependents(self) -> Mapping[str, tuple[Step, ...]]:
        """For each step, the steps that wait for it: they follow it or read a column that it adds."""
        found: dict[str, list[Step]] = {name: [] for name in self.steps}
        for step in self:
            for name in step.read_steps:
                found[name].append(step)
        return {name: tuple(steps) for name, steps in found.items()}


def build_plan(dag: Dag, store: Store, run: str = "", retried: Collection[str] = ()) -> Plan:
    """Return the plan of a DAG in a store.

    Args:
        dag: The DAG.
        store: The store.
        run: Name of the run.
        retried: Run keys of tables to replace, besides those that the store names.

    Raises:
        PlanError: The DAG has no output, or its steps form a cycle.
    """
    if not dag.outputs:
        raise PlanError(
            f"the DAG {dag.name!r} saves nothing, so there is nothing to run",
            remedy='end the recipe with dag.save(rows, "name")',
        )
    keys = compute_keys(dag, {*store.names(RETRIES), *retried})
    steps: dict[str, Step] = {}
    for name in dag.nodes:
        if name in _required_steps(dag):
            steps[name] = _step(dag, name, keys[name], steps)
    return Plan(
        dag=dag.name,
        store=store,
        run=run,
        steps=steps,
        outputs={name: rows.heads for name, rows in dag.outputs.items()},
        columns={
            name: {c: origin.node for c, origin in rows.columns.items()} for name, rows in dag.outputs.items()
        },
    )


def _step(dag: Dag, name: str, keys: Keys, before: Mapping[str, Step]) -> Step:
    node, view = dag.nodes[name], dag.views[name]
    origins = dag.available_columns(name) if node.inputs else {}
    upstream = [before[i] for i in node.inputs]
    is_root = isinstance(node.work, Source | Launch)
    return Step(
        node=node,
        keys=keys,
        folder=keys.folder(name),
        base=view.base,
        parents=view.parents,
        root=name if is_root else upstream[0].root,
        reads={column: origins[column].node for column in columns_read(dag, node)},
        depth=1 + max((step.depth for step in upstream), default=0),
    )


def _required_steps(dag: Dag) -> set[str]:
    """Return the names of the steps that an output depends on."""
    needed: set[str] = set()
    pending = [head for rows in dag.outputs.values() for head in rows.heads]
    pending += [origin.node for rows in dag.outputs.values() for origin in rows.columns.values()]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += dag.nodes[name].inputs
    return needed


def _id_field() -> pa.Field:
    metadata = {"meaning": "the row's id; the same content has the same id on every run", "unit": ""}
    return pa.field("id", pa.string(), False, metadata)
