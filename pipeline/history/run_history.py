"""A plan as it was recorded: the tables of a run and how they hang together, without any stage.

Whoever explains or reports reads this and the tables, so that it works where the stages cannot be
imported, where the footage is gone, and years later.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from manifests.errors import Damaged
from manifests.manifest import Manifest, columns_of, read_begun, read_manifest
from manifests.store import Store
from manifests.table import RowCounts, part_name, parts_of, read_part, read_row_counts
from pipeline.errors import PipelineError
from pipeline.planning.plan import Plan

RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class PastStep:
    """One table: as `Step`, in plain values.

    Attributes:
        reads: the columns it reads, each with the step that adds it.
        made_by: stage, version, settings and digest, or the rule and its reason.
        columns: name, type, unit, meaning and nullable of each column it adds.
    """

    name: str
    kind: str
    folder: str
    base: str
    root: str
    parents: str = ""
    depth: int = 0
    inputs: tuple[str, ...] = ()
    reads: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[Mapping[str, Any], ...] = ()
    needs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def barrier(self) -> bool:
        return self.kind in ("survey", "model")

    @property
    def rule(self) -> str:
        """The predicate of a rule; "" for a stage."""
        return str(self.made_by.get("keep", ""))


@dataclass(frozen=True)
class Past:
    """The steps of a run, in order. `run` is "" for the tables of a store without runs."""

    store: Store = field(repr=False)
    run: str
    dag: str
    steps: Mapping[str, PastStep]
    outputs: Mapping[str, tuple[str, ...]]

    def __iter__(self) -> Iterator[PastStep]:
        return iter(self.steps.values())

    def __getitem__(self, name: str) -> PastStep:
        return self.steps[name]

    def text(self) -> bytes:
        """As it is recorded in plan.json."""
        said = {"run": self.run, "dag": self.dag, "outputs": self.outputs}
        steps = [asdict(step) for step in self]
        return json.dumps({**said, "steps": steps}, indent=1, ensure_ascii=False).encode()

    def works_on(self, base: str) -> list[PastStep]:
        """The steps that rows of the table `base` go through after it, in order."""
        return [step for step in self if step.name != base and self.came_from(step) == base]

    def came_from(self, step: PastStep) -> str:
        """The table whose rows a step is given; "" for a source."""
        return self[step.inputs[0]].base if step.inputs else ""

    @cached_property
    def manifests(self) -> dict[str, Manifest | None]:
        """The manifest of each step's table, None where it is not whole. Read once."""
        return {step.name: read_manifest(self.store, step.folder) for step in self}

    def row_counts(self, name: str) -> dict[int, RowCounts]:
        """The row_counts of each part of a step that stands."""
        manifest = self.manifests[name]
        if manifest:
            return {part.number: part.row_counts for part in manifest.parts}
        folder = self[name].folder
        return {
            n: read_row_counts(self.store, f"{folder}/{part_name(n)}") for n in parts_of(self.store, folder)
        }

    def gone(self, name: str, number: int, row_counts: RowCounts) -> tuple[list[str], list[str]]:
        """The ids that part `number` of a step dropped, and those it rejected."""
        step = self[name]
        dropped = self._ids(f"{step.folder}/{part_name(number)}") if step.kind == "drops" else []
        return dropped, self._ids(f"{step.folder}/{row_counts.rejects}") if row_counts.rejects else []

    def _ids(self, name: str) -> list[str]:
        ids: list[str] = read_part(self.store, name, ["id"]).column("id").to_pylist()
        return ids


def past_of(plan: Plan) -> Past:
    """A plan in plain values."""
    steps = {
        step.name: PastStep(
            name=step.name,
            kind=step.kind,
            folder=step.folder,
            base=step.base,
            root=step.root,
            parents=step.parents,
            depth=step.depth,
            inputs=step.node.inputs,
            reads=dict(step.reads),
            keys={"run": step.keys.run, "content": step.keys.content},
            made_by=step.made_by(),
            columns=columns_of(step.schema),
            needs=asdict(step.node.needs),
        )
        for step in plan
    }
    return Past(plan.store, plan.run, plan.dag, steps, plan.outputs)


def runs_of(store: Store) -> list[str]:
    """The names of the runs recorded in a store, oldest first."""
    return store.names(RUNS)


def read_past(store: Store, run: str = "") -> Past:
    """What a run planned, the last one by default; where no run is recorded, all tables of the store.

    Raises:
        PipelineError: there is no such run, or nothing in the store.
    """
    known = runs_of(store)
    if run and run not in known:
        raise PipelineError(
            f"no run {run!r} in this store",
            where=f"{store.url}/{RUNS}",
            remedy=f"name one of: {', '.join(known[-5:]) or 'none yet'}",
        )
    for name in [run] if run else reversed(known):
        try:
            return _recorded(store, name, store.read(f"{RUNS}/{name}/plan.json"))
        except FileNotFoundError:
            continue  # it ended before it had a plan
    return _tables(store)


def _recorded(store: Store, run: str, text: bytes) -> Past:
    try:
        found = json.loads(text)
        steps = [
            PastStep(**{**s, "inputs": tuple(s["inputs"]), "columns": tuple(s["columns"])})
            for s in found["steps"]
        ]
        outputs = {name: tuple(heads) for name, heads in found["outputs"].items()}
        return Past(store, run, found["dag"], {step.name: step for step in steps}, outputs)
    except (ValueError, KeyError, TypeError) as error:
        where = f"{store.url}/{RUNS}/{run}/plan.json"
        raise Damaged(f"not a recorded plan: {error}", where=where, remedy="name another run") from error


def _tables(store: Store) -> Past:
    """Every table of a store, each known by its folder."""
    folders = [name for name in store.names() if "." not in name]  # store.json and the lease are files
    found = {folder: read_begun(store, folder) for folder in folders}
    tables = {folder: table for folder, table in found.items() if table}
    if not tables:
        raise PipelineError(
            "nothing was ever run in this store",
            where=store.url,
            remedy="run a recipe first: clipmill run RECIPE store=DIR",
        )
    bases = {folder: table.base or folder for folder, table in tables.items()}
    steps = {}
    for folder in sorted(tables, key=lambda f: (_depth(tables, f), f)):
        table = tables[folder]
        steps[folder] = PastStep(
            name=folder,
            kind=table.kind,
            folder=folder,
            base=bases[folder],
            root=table.root or folder,
            parents=bases[table.inputs[0]] if table.kind == "children" else "",
            depth=_depth(tables, folder),
            inputs=table.inputs,
            keys=table.keys,
            made_by=table.made_by,
            columns=table.columns,
        )
    return Past(store, "", "", steps, {})


def _depth(tables: Mapping[str, Manifest], folder: str) -> int:
    return 1 + max((_depth(tables, i) for i in tables[folder].inputs if i in tables), default=0)
