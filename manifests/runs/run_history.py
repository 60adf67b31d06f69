"""The recorded plan of a run: its steps and their tables, without the stages.

Everything that explains and reports reads only this record and the tables. So it works on a machine that
cannot import the stages, without the footage, and years later.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from manifests.catalog import RUNS
from manifests.errors import Damaged, ManifestError, UnknownName
from manifests.format import check_exists
from manifests.manifest import Manifest, read_header, read_manifest
from manifests.store import Store
from manifests.table import RowCounts, check_names, part_name, parts_of, read_part, read_row_counts


@dataclass(frozen=True, kw_only=True)
class StepHistory:
    """One step of a run, as `Step` but with JSON values only.

    Attributes:
        name: Name of the step.
        kind: "source", "layer", "children", "drops", "survey" or "model".
        folder: Folder of the step's table in the store.
        base: Name of the step whose rows the table describes; its own name if it makes rows.
        root: Name of the step whose part numbers the table follows.
        parents: For children: the step whose rows are their parents; else "".
        depth: Number of generations of children up to this step.
        inputs: Names of the previous steps.
        reads: The columns that the step reads, each with the name of the step that adds it.
        keys: The "run" key and the "content" key.
        made_by: Stage, version, settings and digest; for a rule, its predicate and reason.
        columns: Name, type, unit, meaning and nullable of each column that the step adds.
        needs: The resources of the step.
        notes: What `Source.notes` returned, for example how many files are left out.
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
    notes: tuple[str, ...] = ()

    @property
    def is_barrier(self) -> bool:
        """Whether the step needs all rows of its input before it can start."""
        return self.kind in ("survey", "model")

    @property
    def rule(self) -> str:
        """The predicate of a rule; "" for a stage."""
        return str(self.made_by.get("keep", ""))


@dataclass(frozen=True)
class RunHistory:
    """The steps of a run in order.

    Attributes:
        store: The store.
        run: Name of the run; "" if the store has tables but no recorded run.
        dag: Name of the DAG.
        steps: The steps by name.
        outputs: The names under which the DAG saves tables, each with its steps.
    """

    store: Store = field(repr=False)
    run: str
    dag: str
    steps: Mapping[str, StepHistory]
    outputs: Mapping[str, tuple[str, ...]]

    def __iter__(self) -> Iterator[StepHistory]:
        return iter(self.steps.values())

    def __getitem__(self, name: str) -> StepHistory:
        return self.steps[name]

    def json_bytes(self) -> bytes:
        """The content of plan.json."""
        plan = {"run": self.run, "dag": self.dag, "outputs": self.outputs}
        steps = [asdict(step) for step in self]
        return json.dumps({**plan, "steps": steps}, indent=1, ensure_ascii=False).encode()

    def steps_on(self, base: str) -> list[StepHistory]:
        """The steps that process the rows of the table `base`, in order, without `base` itself."""
        return [step for step in self if step.name != base and self.input_table(step) == base]

    def input_table(self, step: StepHistory) -> str:
        """Name of the step whose rows enter a step; "" for a source."""
        return self[step.inputs[0]].base if step.inputs else ""

    @cached_property
    def manifests(self) -> dict[str, Manifest | None]:
        """The manifest of each step's table, read once; None if the table is not complete."""
        return {step.name: read_manifest(self.store, step.folder) for step in self}

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all sources, each with the name of its step."""
        return tuple(f"{step.name}: {note}" for step in self for note in step.notes)

    def row_counts(self, name: str) -> dict[int, RowCounts]:
        """The row counts of each existing part of a step, by part number."""
        manifest = self.manifests[name]
        if manifest:
            return {part.number: part.row_counts for part in manifest.parts}
        folder = self[name].folder
        return {
            n: read_row_counts(self.store, f"{folder}/{part_name(n)}") for n in parts_of(self.store, folder)
        }

    def removed_ids(
        self, name: str, number: int, row_counts: RowCounts
    ) -> tuple[list[str], list[str], list[str]]:
        """The ids of the rows that part `number` of a step dropped, rejected as invalid, and failed on."""
        step = self[name]
        dropped = self._ids(f"{step.folder}/{part_name(number)}") if step.kind == "drops" else []
        if not row_counts.rejects:
            return dropped, [], []
        rejects = read_part(self.store, f"{step.folder}/{row_counts.rejects}", ["id", "kind"])
        rows = list(zip(rejects["id"].to_pylist(), rejects["kind"].to_pylist(), strict=True))
        rejected = [row for row, kind in rows if kind == "reject"]
        return dropped, rejected, [row for row, kind in rows if kind != "reject"]

    def _ids(self, name: str) -> list[str]:
        ids: list[str] = read_part(self.store, name, ["id"]).column("id").to_pylist()
        return ids


def run_names(store: Store) -> list[str]:
    """The names of the recorded runs of a store, oldest first."""
    return store.names(RUNS)


def runs_named(store: Store, run: str = "") -> list[str]:
    """This run, or by default all recorded runs, oldest first.

    Raises:
        UnknownName: the store or the run does not exist.
    """
    known = run_names(store)
    if not known or (run and run not in known):
        check_exists(store)
    if run and run not in known:
        raise UnknownName(
            f"there is no run {run!r} in this store",
            where=f"{store.url}/{RUNS}",
            remedy=f"name one of the runs: {', '.join(known[-5:]) or 'none yet'}",
        )
    return [run] if run else known


def read_history(store: Store, run: str = "") -> RunHistory:
    """Read the recorded plan of a run.

    Args:
        store: The store.
        run: Name of the run; by default the last one. If the store has no recorded run, all its tables are
            returned as steps.

    Raises:
        UnknownName: the store or the run does not exist.
        ManifestError: the store is empty.
    """
    for name in reversed(runs_named(store, run)):
        history = read_plan(store, name)
        if history:
            return history
    return _history_of_tables(store)


def read_plan(store: Store, run: str) -> RunHistory | None:
    """Read the recorded plan of a run; None if the run ended before it had a plan.

    Raises:
        Damaged: the file is not a recorded plan.
    """
    try:
        return _parse_plan(store, run, store.read(f"{RUNS}/{run}/plan.json"))
    except FileNotFoundError:
        return None


def _parse_plan(store: Store, run: str, text: bytes) -> RunHistory:
    try:
        plan = json.loads(text)
        steps = [
            StepHistory(**{**s, **{n: tuple(s.get(n, ())) for n in ("inputs", "columns", "notes")}})
            for s in plan["steps"]
        ]
        outputs = {name: tuple(heads) for name, heads in plan["outputs"].items()}
        _check_steps(steps, outputs)
        return RunHistory(store, run, plan["dag"], {step.name: step for step in steps}, outputs)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        where = f"{store.url}/{RUNS}/{run}/plan.json"
        raise Damaged(
            f"this file is not a recorded plan: {error}",
            where=where,
            remedy="name another run, or delete the folder of this run",
        ) from error


def _check_steps(steps: list[StepHistory], outputs: Mapping[str, tuple[str, ...]]) -> None:
    """Check what readers rely on: names of files, the steps that others name, and the types of values.

    Raises:
        ValueError, TypeError: the steps are not those of a plan.
    """
    known = {step.name for step in steps}
    named = {head for heads in outputs.values() for head in heads}
    for step in steps:
        check_names(step.name, step.kind, step.folder, step.base, step.root, step.parents, *step.inputs)
        named |= {step.base, step.root, *filter(None, [step.parents]), *step.inputs}
        are_columns = all(isinstance(column, dict) and "name" in column for column in step.columns)
        if not are_columns or not isinstance(step.made_by, dict):
            raise ValueError(f"a value of the step {step.name} has the wrong type")
    if not known >= named:
        raise ValueError("it names a step that it does not contain")


def _history_of_tables(store: Store) -> RunHistory:
    """Every table of a store as a step with the name of its folder."""
    folders = [name for name in store.names() if "." not in name]  # store.json and the lease are files
    headers = {folder: read_header(store, folder) for folder in folders}
    tables = {folder: table for folder, table in headers.items() if table}
    if not tables:
        raise ManifestError(
            "no recipe was run in this store yet",
            where=store.url,
            remedy="run a recipe first: clipmill run RECIPE store=DIR",
        )
    bases = {folder: table.base or folder for folder, table in tables.items()}
    steps = {}
    for folder in sorted(tables, key=lambda f: (_depth(tables, f), f)):
        table = tables[folder]
        steps[folder] = StepHistory(
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
    return RunHistory(store, "", "", steps, {})


def _depth(tables: Mapping[str, Manifest], folder: str) -> int:
    return 1 + max((_depth(tables, i) for i in tables[folder].inputs if i in tables), default=0)
