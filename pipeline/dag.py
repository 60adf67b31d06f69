"""A DAG is a value: nodes that name their inputs. Building one runs nothing and checks everything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from manifests.predicate import names_in, parse
from manifests.row import Row
from manifests.schema import schema_of
from manifests.wording import nearest
from pipeline.errors import PlanError
from pipeline.needs import Needs
from pipeline.stage import Annotate, Compare, Expand, Launch, Placed, Source, Stage, Survey

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Keep:
    """Keep the rows for which `where` holds; the others remember `because`."""

    where: str
    because: str


Work = Stage[Any, Any] | Keep


@dataclass(frozen=True)
class Node:
    """One step. `work` and `inputs` decide the result; `needs` only where and how fast.

    `rows_per_part` is set on sources alone: how many of their rows make a home part.
    """

    name: str
    work: Work
    inputs: tuple[str, ...] = ()
    needs: Needs = field(default_factory=Needs)
    rows_per_part: int = 0


@dataclass(frozen=True)
class Author:
    """Who adds a column: the node, the Arrow field, and whether its value follows from the row's id."""

    node: str
    field: pa.Field
    by_id: bool


@dataclass
class Dag:
    """Nodes in the order they were added, which is a topological order."""

    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: "dict[str, Rows]" = field(default_factory=dict)
    views: "dict[str, Rows]" = field(default_factory=dict, repr=False)  # each node's rows, once it is done

    def read(self, source: Source[Any] | Placed, *, rows_per_part: int = 16) -> "Rows":
        """Start from a source. A part of `rows_per_part` rows is the unit of work from here on."""
        if rows_per_part < 1:
            raise PlanError(f"rows_per_part is {rows_per_part}; a part has at least 1 row")
        return self.add(source, (), rows_per_part=rows_per_part)

    def save(self, rows: "Rows", name: str) -> None:
        """Name a table as an output; only what outputs need is run."""
        if name in self.outputs:
            raise PlanError(f"two outputs are named {name!r}")
        if not _NAME.fullmatch(name):
            raise PlanError(f"output name {name!r} is not lower_snake_case")
        self.outputs[name] = rows

    def add(
        self,
        work: Work | Placed,
        inputs: "tuple[Rows, ...]",
        *,
        name: str = "",
        needs: Needs | None = None,
        rows_per_part: int = 0,
    ) -> "Rows":
        """Add one step that reads `inputs`, which hold rows of one table.

        Raises:
            PlanError: a column is missing or has two authors, the inputs are of two tables, or the
                name is taken.
        """
        if isinstance(work, Placed):
            name, needs, work = name or work.name, needs or work.needs, work.stage
        needs = needs or usual_needs(work)
        name = name or _name_of(work)
        if not _NAME.fullmatch(name):
            raise PlanError(f"step name {name!r} is not lower_snake_case")
        if name in self.nodes:
            raise PlanError(
                f"two steps are named {name!r}",
                remedy="name one: `.annotate(Stage().on(name=…))`, or give the rule another reason",
            )
        have = _merged(inputs, name)
        made = _rows_after(self, name, work, inputs, have)
        heads = tuple(dict.fromkeys(h for rows in inputs for h in rows.heads))
        self.nodes[name] = Node(name, work, heads, needs, rows_per_part)
        self.views[name] = made
        return made

    def columns_at(self, name: str) -> "Mapping[str, Author]":
        """The columns that the step `name` may read, by name, with their authors."""
        rows = [self.views[i] for i in self.nodes[name].inputs]
        return _merged(tuple(rows), name)

    def base_of(self, name: str) -> str:
        """The node whose rows the step `name` works on or makes."""
        return self.views[name].base


@dataclass(frozen=True)
class Rows:
    """Rows that do not exist yet: the nodes that will hold them, the columns they will have.

    Attributes:
        heads: a row is here if it came through all of these nodes.
        base: the node that made the rows (a source, an expansion, a launch).
        authors: who adds each column.
        parents: the base of this base's parents, or "" for rows without parents.
    """

    dag: Dag = field(repr=False, compare=False)
    heads: tuple[str, ...]
    base: str
    authors: Mapping[str, Author] = field(compare=False)
    parents: str = ""

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([author.field for author in self.authors.values()])

    def annotate(self, *stages: Annotate[Any, Any] | Placed) -> "Rows":
        """Add columns. Stages given together read the same columns and run side by side."""
        made = [self.dag.add(stage, (self,)) for stage in stages]
        return made[0].join(*made[1:]) if made else self

    def survey(self, stage: Survey[Any, Any] | Compare[Any, Any] | Placed) -> "Rows":
        """Add columns that depend on all rows. A barrier."""
        return self.dag.add(stage, (self,))

    def expand(self, stage: Expand[Any, Any] | Placed) -> "Rows":
        """New rows; each still sees its parent's columns."""
        return self.dag.add(stage, (self,))

    def launch(self, stage: Launch[Any, Any] | Placed) -> "Rows":
        """Hand all rows to a program of many ranks, which gives one new row. A barrier."""
        return self.dag.add(stage, (self,))

    def keep(self, where: str, *, because: str) -> "Rows":
        """Keep rows for which `where` holds. Stages measure; recipes decide.

        A row in which a column of `where` is missing is rejected, neither kept nor dropped.
        """
        return self.dag.add(Keep(where, because), (self,))

    def join(self, *others: "Rows") -> "Rows":
        """The rows that are in all of these, with the columns of all."""
        rows = (self, *others)
        heads = tuple(dict.fromkeys(h for r in rows for h in r.heads))
        return Rows(self.dag, heads, self.base, _merged(rows, "join"), self.parents)


def usual_needs(work: Work) -> Needs:
    """What a step needs where nothing else is said."""
    return Needs(cpus=0.5) if isinstance(work, Keep) else work.needs


def _merged(inputs: tuple[Rows, ...], name: str) -> Mapping[str, Author]:
    """The columns of all inputs; a column may come from several sides, but from one author."""
    if len({rows.base for rows in inputs}) > 1:
        bases = ", ".join(sorted({rows.base for rows in inputs}))
        raise PlanError(f"{name} joins rows of different tables: {bases}")
    found: dict[str, Author] = {}
    for rows in inputs:
        for column, author in rows.authors.items():
            if found.setdefault(column, author).node != author.node:
                raise _two_authors(column, found[column].node, author.node)
    return found


def _rows_after(
    dag: Dag, name: str, work: Work, inputs: tuple[Rows, ...], have: Mapping[str, Author]
) -> Rows:
    """The rows that leave a step, after checking that it can read what it wants."""
    if isinstance(work, Keep):
        _check_rule(work, have)
        return Rows(dag, (name,), inputs[0].base, have, inputs[0].parents)
    kinds = {Source: 0, Annotate: 1, Expand: 1, Survey: 1, Compare: 1, Launch: 1}
    wanted = next((n for kind, n in kinds.items() if isinstance(work, kind)), None)
    if wanted is None or bool(inputs) != bool(wanted):
        raise PlanError(f"{type(work).__name__} cannot stand here", where=f"step {name}")
    if not isinstance(work, Source):
        _check_reads(work, name, have)
    by_id = work.adds.names_by_id()
    adds = {f.name: Author(name, f, f.name in by_id) for f in schema_of(work.adds)}
    if isinstance(work, Source | Launch):
        if isinstance(work, Launch):
            adds = {"id": Author(name, _ID, True), **adds}
        elif "id" not in adds:
            raise PlanError(f"{type(work).__name__} makes rows without an id: str")
        return Rows(dag, (name,), name, adds)
    for column in adds:
        if column in have:
            raise _two_authors(column, have[column].node, name)
    if isinstance(work, Expand):
        ids = {"id": Author(name, _ID, True), "parent": Author(name, _PARENT, True)}
        kept = {c: a for c, a in have.items() if c not in ids}
        return Rows(dag, (name,), name, {**ids, **kept, **adds}, inputs[0].base)
    return Rows(dag, (name,), inputs[0].base, {**have, **adds}, inputs[0].parents)


class _Id(Row):
    """The columns that the engine adds to children and models."""

    id: str
    parent: str


_ID, _PARENT = schema_of(_Id)


def _check_reads(stage: Stage[Any, Any], name: str, have: Mapping[str, Author]) -> None:
    spare = stage.reads.optional_names() - set(have)
    wants = [f for f in schema_of(stage.reads) if f.name not in spare]
    missing = [f.name for f in wants if f.name not in have]
    if missing:
        hint = nearest(missing[0], have)
        raise PlanError(
            f"{type(stage).__name__} reads {', '.join(missing)}, which no step before it adds",
            where=f"step {name}; at hand: {', '.join(have)}",
            remedy=f"add a stage that measures it{f', or read {hint!r}' if hint else ''}",
        )
    for want in wants:
        got = have[want.name].field
        if not got.type.equals(want.type) or (got.nullable and not want.nullable):
            raise PlanError(
                f"{type(stage).__name__} reads {want.name} as {_type(want)}, "
                f"but {have[want.name].node} adds it as {_type(got)}",
                where=f"step {name}",
                remedy="make the two rows declare the same type",
            )


def _check_rule(rule: Keep, have: Mapping[str, Author]) -> None:
    if not rule.because.strip():
        raise PlanError(f"the rule {rule.where!r} has no reason", remedy='say because="…"')
    if not names_in(rule.where):
        raise PlanError(f"the rule {rule.where!r} reads no column: it would keep all rows or none")
    parse(rule.where, pa.schema([author.field for author in have.values()]))


def _two_authors(column: str, one: str, two: str) -> PlanError:
    return PlanError(
        f"column {column!r} has two authors: {one} and {two}",
        remedy="a column has one author; rename one of them, or leave one step out",
    )


def _type(found: pa.Field) -> str:
    return f"{found.type}{' or missing' if found.nullable else ''}"


def _name_of(work: Work) -> str:
    if isinstance(work, Keep):
        name = re.sub(r"[^a-z0-9]+", "_", work.because.lower()).strip("_")[:40].strip("_")
        return name if _NAME.fullmatch(name) else f"rule_{name}"
    return snake(type(work).__name__)


def snake(name: str) -> str:
    """FindShots → find_shots."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
