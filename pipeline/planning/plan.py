"""A plan: a DAG, narrowed to what its outputs need, with the folder of every step in one store.

It is a value that travels to the workers; nothing in it changes while a run goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from manifests.rows.drop import DropRow
from manifests.schema import schema_of
from manifests.store import Store
from pipeline.dag import Dag, Keep, Node
from pipeline.errors import PlanError
from pipeline.planning.keys import Keys, keys_of, made_by, reads_of
from pipeline.stage import Annotate, Compare, Expand, Launch, Source, Stage, Survey

RETRIES = "retries"  # a folder of the store: the run keys of tables that were given up for another


@dataclass(frozen=True)
class Step:
    """A node in its place.

    Attributes:
        folder: its folder in the store.
        base: the step whose rows it works on (its own name if it makes rows).
        parents: the base of the rows' parents, or "".
        root: the step whose parts it follows, part by part.
        reads: the columns it reads, each with the step that adds it.
        depth: the length of the longest way from a source; later steps are served first.
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
        """source, layer, children, drops, survey or model."""
        kinds: dict[type[Any], str] = {
            Source: "source", Annotate: "layer", Expand: "children",
            Keep: "drops", Survey: "survey", Compare: "survey", Launch: "model",
        }  # fmt: skip
        return next(word for kind, word in kinds.items() if isinstance(self.node.work, kind))

    @property
    def barrier(self) -> bool:
        """Whether it waits until all of its input is there."""
        return self.kind in ("survey", "model")

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of its table: ids, and what it adds."""
        if isinstance(self.node.work, Keep):
            return schema_of(DropRow)
        adds = schema_of(self.node.work.adds)
        if self.kind == "children":
            return pa.schema([_id(), pa.field("parent", pa.string(), False), *adds])
        return adds if "id" in adds.names else pa.schema([_id(), *adds])

    @property
    def stage(self) -> Stage[Any, Any]:
        assert isinstance(self.node.work, Stage)
        return self.node.work

    def made_by(self) -> Mapping[str, Any]:
        return made_by(self.node, self.stage.digest() if isinstance(self.node.work, Stage) else "")


@dataclass(frozen=True)
class Plan:
    """The steps to take, in order.

    Attributes:
        store: where the tables are.
        run: the name of this run; it tells this run's crashes from those of earlier ones.
        outputs: for each output, the steps a row must have come through.
        columns: for each output, its columns with the steps that add them.
    """

    dag: str
    store: Store
    run: str
    steps: Mapping[str, Step]
    outputs: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Mapping[str, str]]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps.values())

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]

    @cached_property
    def readers(self) -> Mapping[str, tuple[Step, ...]]:
        """For each step, those that wait for it: they follow it, or read a column it adds."""
        found: dict[str, list[Step]] = {name: [] for name in self.steps}
        for step in self:
            for name in dict.fromkeys((*step.node.inputs, *step.reads.values())):
                found[name].append(step)
        return {name: tuple(steps) for name, steps in found.items()}


def plan_of(dag: Dag, store: Store, run: str = "") -> Plan:
    """Place a DAG in a store.

    Raises:
        PlanError: the DAG has no output, or a circle.
    """
    if not dag.outputs:
        raise PlanError(
            f"the DAG {dag.name!r} saves nothing, so there is nothing to run",
            remedy='end the recipe with dag.save(rows, "name")',
        )
    keys = keys_of(dag, frozenset(store.names(RETRIES)))
    steps: dict[str, Step] = {}
    for name in dag.nodes:
        if name in _needed(dag):
            steps[name] = _step(dag, name, keys[name], steps)
    return Plan(
        dag=dag.name,
        store=store,
        run=run,
        steps=steps,
        outputs={name: rows.heads for name, rows in dag.outputs.items()},
        columns={name: {c: a.node for c, a in rows.authors.items()} for name, rows in dag.outputs.items()},
    )


def _step(dag: Dag, name: str, keys: Keys, before: Mapping[str, Step]) -> Step:
    node, view = dag.nodes[name], dag.views[name]
    authors = dag.columns_at(name) if node.inputs else {}
    upstream = [before[i] for i in node.inputs]
    is_root = isinstance(node.work, Source | Launch)
    return Step(
        node=node,
        keys=keys,
        folder=keys.folder(name),
        base=view.base,
        parents=view.parents,
        root=name if is_root else upstream[0].root,
        reads={column: authors[column].node for column in reads_of(dag, node)},
        depth=1 + max((step.depth for step in upstream), default=0),
    )


def _needed(dag: Dag) -> set[str]:
    """The steps that an output depends on."""
    needed: set[str] = set()
    waiting = [head for rows in dag.outputs.values() for head in rows.heads]
    waiting += [a.node for rows in dag.outputs.values() for a in rows.authors.values()]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += dag.nodes[name].inputs
    return needed


def _id() -> pa.Field:
    note = {"meaning": "the row's id; the same content has the same id on every run", "unit": ""}
    return pa.field("id", pa.string(), False, note)
