"""The DAG of a pipeline: nodes that name their inputs. Building a DAG checks it and runs nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from manifests.row import Row
from manifests.schema import schema_of
from pipeline.column_authors import missing_column_remedy
from pipeline.errors import PlanError
from pipeline.grouped import AnnotateGroups
from pipeline.needs import Needs
from pipeline.rule import ALL, check_group, check_rule
from pipeline.rule import Keep as Keep
from pipeline.stage import Annotate, Compare, ConfiguredStage, Expand, Launch, Source, Stage, Survey

_NAME = re.compile(r"[a-z][a-z0-9_]*")


Work = Stage[Any, Any] | Keep


@dataclass(frozen=True)
class Node:
    """One step of a DAG. Only `work` and `inputs` determine the result.

    Attributes:
        name: Name of the step.
        work: The stage or the rule.
        inputs: Names of the steps that this step reads.
        needs: Resources of one worker.
        rows_per_part: Number of rows per part of a source; 0: see `planning.part_sizes`.
    """

    name: str
    work: Work
    inputs: tuple[str, ...] = ()
    needs: Needs = field(default_factory=Needs)
    rows_per_part: int = 0


@dataclass(frozen=True)
class ColumnOrigin:
    """The origin of a column.

    Attributes:
        node: The node that adds the column.
        field: The Arrow field.
        by_id: Whether the value is determined by the id of the row.
        group: Whether all rows with the same value descend from one row of the source.
    """

    node: str
    field: pa.Field
    by_id: bool
    group: bool = False


@dataclass
class Dag:
    """A DAG. Its nodes are in the order of their addition, which is a topological order.

    Attributes:
        name: Name of the DAG.
        nodes: Nodes by name.
        outputs: Saved tables by name.
        views: The rows after each node, by node name.
    """

    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: "dict[str, Rows]" = field(default_factory=dict)
    views: "dict[str, Rows]" = field(default_factory=dict, repr=False)

    def read(self, source: Source[Any] | ConfiguredStage, *, rows_per_part: int = 0) -> "Rows":
        """Add a source. `rows_per_part` is the number of rows of each part; 0: see `planning.part_sizes`."""
        if rows_per_part < 0:
            raise PlanError(f"rows_per_part is {rows_per_part}; it must be at least 0")
        return self.add(source, (), rows_per_part=rows_per_part)

    def save(self, rows: "Rows", name: str) -> None:
        """Make rows an output of the DAG. Only steps that an output depends on are run."""
        if name in self.outputs:
            raise PlanError(f"two outputs are named {name!r}")
        if not _NAME.fullmatch(name):
            raise PlanError(f"output name {name!r} is not lower_snake_case")
        self.outputs[name] = rows

    def add(
        self,
        work: Work | ConfiguredStage,
        inputs: "tuple[Rows, ...]",
        *,
        name: str = "",
        needs: Needs | None = None,
        rows_per_part: int = 0,
    ) -> "Rows":
        """Add one step that reads `inputs`, which must be rows of one table.

        Raises:
            PlanError: A column is missing or two steps add it, the inputs belong to different tables, or
                another step has this name.
        """
        if isinstance(work, ConfiguredStage):
            name, needs, work = name or work.name, needs or work.needs, work.stage
        needs = needs or default_needs(work)
        name = name or _name_of(work)
        if not _NAME.fullmatch(name):
            raise PlanError(f"step name {name!r} is not lower_snake_case")
        if name in self.nodes:
            raise PlanError(
                f"two steps are named {name!r}",
                remedy="name one with `.annotate(Stage().on(name=…))`, or give the rule another reason",
            )
        available = _merged(inputs, name)
        rows = _rows_after(self, name, work, inputs, available)
        if inputs and rows.base == inputs[0].base:
            rows = replace(rows, rule_groups=inputs[0].rule_groups)
        heads = tuple(dict.fromkeys(head for each in inputs for head in each.heads))
        self.nodes[name] = Node(name, work, heads, needs, rows_per_part)
        self.views[name] = rows
        return rows

    def available_columns(self, name: str) -> "Mapping[str, ColumnOrigin]":
        """Return the columns that the step `name` can read, by name."""
        rows = [self.views[i] for i in self.nodes[name].inputs]
        return _merged(tuple(rows), name)


@dataclass(frozen=True)
class Rows:
    """Rows at one point of a DAG, before any of them exists.

    Attributes:
        dag: The DAG.
        heads: A row is included if it passed all of these nodes.
        base: The node that creates the rows: a source, an expansion or a launch.
        columns: Origin of each column, by name.
        parents: The base of the parent rows, or "" for rows without parents.
        rule_groups: The `across` and `when` of rules that do not name their own; see `together`.
    """

    dag: Dag = field(repr=False, compare=False)
    heads: tuple[str, ...]
    base: str
    columns: Mapping[str, ColumnOrigin] = field(compare=False)
    parents: str = ""
    rule_groups: tuple[str, str] = ("", ALL)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([origin.field for origin in self.columns.values()])

    def annotate(self, *stages: Annotate[Any, Any] | ConfiguredStage) -> "Rows":
        """Add columns. Several stages read the same columns and can run in parallel."""
        rows = [self.dag.add(stage, (self,)) for stage in stages]
        return rows[0].join(*rows[1:]) if rows else self

    def survey(self, stage: Survey[Any, Any] | Compare[Any, Any] | ConfiguredStage) -> "Rows":
        """Add columns that depend on all rows. A barrier: the step waits for all rows."""
        return self.dag.add(stage, (self,))

    def expand(self, stage: Expand[Any, Any] | ConfiguredStage) -> "Rows":
        """Create new rows from each row. A new row can read the columns of its parent."""
        return self.dag.add(stage, (self,))

    def launch(self, stage: Launch[Any, Any] | ConfiguredStage) -> "Rows":
        """Pass all rows to a program with many ranks, which returns one new row. A barrier."""
        return self.dag.add(stage, (self,))

    def keep(self, where: str, *, because: str, across: str = "", when: str = ALL) -> "Rows":
        """Keep the rows for which the predicate `where` is true; drop the others with the reason `because`.

        A row that has no value for a column of `where` is rejected: neither kept nor dropped. With `across`,
        rows with the same value in that column are decided together; see `Keep`.
        """
        across, when = (across, when) if across else self.rule_groups
        return self.dag.add(Keep(where, because, across, when), (self,))

    def together(self, across: str, *, when: str = ALL) -> "Rows":
        """Return these rows; later rules decide rows with one value of `across` together, see `Keep`."""
        return replace(self, rule_groups=(across, when))

    def join(self, *others: "Rows") -> "Rows":
        """Return the rows that are in all of these, with all of their columns."""
        rows = (self, *others)
        heads = tuple(dict.fromkeys(h for r in rows for h in r.heads))
        return replace(self, heads=heads, columns=_merged(rows, "join"))


def default_needs(work: Work) -> Needs:
    """Return the default resources of a step."""
    return Needs(cpus=0.5) if isinstance(work, Keep) else work.needs


def _merged(inputs: tuple[Rows, ...], name: str) -> Mapping[str, ColumnOrigin]:
    """Return the columns of all inputs. Several inputs can have the same column if one node adds it."""
    if len({rows.base for rows in inputs}) > 1:
        bases = ", ".join(sorted({rows.base for rows in inputs}))
        raise PlanError(f"{name} joins rows of different tables: {bases}")
    found: dict[str, ColumnOrigin] = {}
    for rows in inputs:
        for column, origin in rows.columns.items():
            if found.setdefault(column, origin).node != origin.node:
                raise _added_twice(column, found[column].node, origin.node)
    return found


def _rows_after(
    dag: Dag, name: str, work: Work, inputs: tuple[Rows, ...], available: Mapping[str, ColumnOrigin]
) -> Rows:
    """Check that a step can read its columns, and return the rows after it."""
    grouping = [column for column, origin in available.items() if origin.group]
    if isinstance(work, Keep):
        check_rule(work, pa.schema([origin.field for origin in available.values()]), grouping)
        return Rows(dag, (name,), inputs[0].base, available, inputs[0].parents)
    takes_inputs = {Source: False, Annotate: True, Expand: True, Survey: True, Compare: True, Launch: True}
    expected = next((needed for kind, needed in takes_inputs.items() if isinstance(work, kind)), None)
    if expected is None or bool(inputs) != expected:
        raise PlanError(f"{type(work).__name__} cannot be used here", where=f"step {name}")
    if not isinstance(work, Source):
        _check_reads(work, name, available)
    if isinstance(work, AnnotateGroups):
        check_group(work.group_by, grouping, f"step {name}")
    by_id = work.adds.names_by_id()
    groups = {c.name for c in work.adds.columns() if c.metadata.get("group")}
    adds = {f.name: ColumnOrigin(name, f, f.name in by_id, f.name in groups) for f in schema_of(work.adds)}
    if isinstance(work, Source | Launch):
        if isinstance(work, Launch):
            adds = {"id": ColumnOrigin(name, _ID, True), **adds}
        elif "id" not in adds:
            raise PlanError(f"the rows of {type(work).__name__} have no column `id: str`")
        return Rows(dag, (name,), name, adds)
    for column in adds:
        if column in available:
            raise _added_twice(column, available[column].node, name)
    if isinstance(work, Expand):
        ids = {"id": ColumnOrigin(name, _ID, True), "parent": ColumnOrigin(name, _PARENT, True, True)}
        inherited = {c: o for c, o in available.items() if c not in ids}
        return Rows(dag, (name,), name, {**ids, **inherited, **adds}, inputs[0].base)
    return Rows(dag, (name,), inputs[0].base, {**available, **adds}, inputs[0].parents)


class _Id(Row):
    """The columns that the engine adds to new rows."""

    id: str
    parent: str


_ID, _PARENT = schema_of(_Id)


def _check_reads(stage: Stage[Any, Any], name: str, available: Mapping[str, ColumnOrigin]) -> None:
    optional = stage.reads.optional_names() - set(available)
    fields = [f for f in schema_of(stage.reads) if f.name not in optional]
    missing = [f.name for f in fields if f.name not in available]
    if missing:
        raise PlanError(
            f"{type(stage).__name__} reads {', '.join(missing)}, which no earlier step adds",
            where=f"step {name}; available columns: {', '.join(available)}",
            remedy=missing_column_remedy(missing[0], available),
        )
    for read in fields:
        actual = available[read.name].field
        if not actual.type.equals(read.type) or (actual.nullable and not read.nullable):
            raise PlanError(
                f"{type(stage).__name__} reads {read.name} as {_type(read)}, "
                f"but {available[read.name].node} adds it as {_type(actual)}",
                where=f"step {name}",
                remedy="declare the same type in both row types",
            )


def _added_twice(column: str, one: str, two: str) -> PlanError:
    return PlanError(
        f"two steps add the column {column!r}: {one} and {two}",
        remedy="rename one of the columns, or remove one step",
    )


def _type(field: pa.Field) -> str:
    return f"{field.type}{' or missing' if field.nullable else ''}"


def _name_of(work: Work) -> str:
    if isinstance(work, Keep):
        name = re.sub(r"[^a-z0-9]+", "_", work.because.lower()).strip("_")[:40].strip("_")
        return name if _NAME.fullmatch(name) else f"rule_{name}"
    return snake_case(type(work).__name__)


def snake_case(name: str) -> str:
    """Convert a class name to snake case: FindShots → find_shots."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
