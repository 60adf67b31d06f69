"""Sight: one part number, looked at through all steps of a plan, from what stands; nothing is written.

Rules are decided in memory where the columns they read are known, from this plan's tables or from
earlier ones with the same content key. Stages that work from the store alone can be asked as well.
What nobody knows is taken to pass, and is marked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import id_of
from manifests.predicate import evaluate
from manifests.schema import rows_of, table_of
from manifests.table import part_name, read_part, read_row_counts
from pipeline.dag import Keep
from pipeline.engine.steps import rowwise
from pipeline.engine.steps.expand_many import told_at_once, without_parents
from pipeline.engine.steps.reuse import known_rows
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Stage, Survey, Unavailable

_NONE = pa.array([], pa.string())
Memory = Callable[[Step, int], tuple[pa.Array, pa.Array]]
Comparison = Callable[[Step, int], pa.Table | None]


@dataclass(frozen=True)
class Came:
    """The ids of rows that come to a step.

    Attributes:
        sure: all of them come, and no others; else it is the most that can.
        lacking: some rows before it were never expanded, so that these are not all.
    """

    ids: pa.Array
    sure: bool = True
    lacking: bool = False


@dataclass(frozen=True)
class Left:
    """What becomes of the rows that come to a step, as ids.

    Attributes:
        kept: rows that go on: the children, where a step makes some.
        open: rows that came and of which nothing is known; all but those to expand are among `kept`.
    """

    kept: Came
    dropped: pa.Array = field(default_factory=lambda: _NONE)
    rejected: pa.Array = field(default_factory=lambda: _NONE)
    open: pa.Array = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class Decided:
    """A rule that was decided in memory: the rows that came, what it read of them, and what it said."""

    ids: pa.Array
    columns: pa.Table
    verdict: pa.Array  # null where a value is missing
    open: pa.Array  # where a value is not known


@dataclass
class Sight:
    """One part number.

    Attributes:
        ask: whether stages that work from the store alone are run, in this process.
        also: names of further columns that somebody wants to see.
        before: what else is known of a step: the rows that it refused and would again, and rows that it
            answered, be it with no children. Nothing, by default.
        compared: what a comparison that may be asked says of a part, or None if that is open.
        small: names of comparisons of so few rows that they may be asked, though they are not from the store.
        decided: the rules that were decided in memory, by step.
    """

    plan: Plan
    number: int
    ask: bool = False
    also: frozenset[str] = frozenset()
    before: Memory = lambda step, number: (_NONE, _NONE)
    compared: Comparison = lambda step, number: None
    small: frozenset[str] = frozenset()
    decided: dict[str, Decided] = field(default_factory=dict)
    _left: dict[str, Left] = field(default_factory=dict)
    _tables: dict[str, pa.Table | None] = field(default_factory=dict)
    _rejected: dict[str, pa.Array] = field(default_factory=dict)
    _childless: dict[str, pa.Array] = field(default_factory=dict)

    def stands(self, step: Step) -> bool:
        return self.plan.store.exists(f"{step.folder}/{part_name(self.number)}")

    def came(self, step: Step) -> Came:
        """The rows that come to a step."""
        first, *rest = [self.left(self.plan[name]).kept for name in step.node.inputs]
        for other in rest:
            ids = first.ids.filter(pc.is_in(first.ids, value_set=other.ids))
            first = Came(ids, first.sure and other.sure, first.lacking or other.lacking)
        return first

    def left(self, step: Step) -> Left:
        """What becomes of the rows that come to a step."""
        if step.name not in self._left:
            self._left[step.name] = self._leaves(step)
        return self._left[step.name]

    def table(self, step: Step) -> pa.Table | None:
        """The columns of a step's part that others may ask for, or as much of it as is known."""
        if step.name not in self._tables:
            self._tables[step.name] = self._known(step)
        return self._tables[step.name]

    def values(self, base: str, name: str, author: Step, ids: pa.Array) -> tuple[pa.Array, pa.Array]:
        """A column of the rows `ids` of `base`, and which of them no table knows."""
        for table in self._ladder(base, author.base):
            ids = _looked_up(table, "parent", ids)
        table = self.table(author)
        if table is None:
            return pa.nulls(len(ids), author.schema.field(name).type), pa.array([True] * len(ids), pa.bool_())
        have = table.column("id").combine_chunks()
        if have.equals(ids):
            return table.column(name).combine_chunks(), pa.repeat(False, len(ids))
        at = pc.index_in(ids, value_set=have)
        return table.column(name).combine_chunks().take(at), pc.is_null(at)

    def input(self, step: Step) -> pa.Table | None:
        """The rows that come to a step, with all that it reads of them; None where some is not known."""
        came, columns = self.came(step), {}
        if not came.sure or came.lacking:
            return None
        base = self.plan[step.node.inputs[0]].base
        for name, author in step.reads.items():
            columns[name], lacking = self.values(base, name, self.plan[author], came.ids)
            if pc.any(lacking).as_py():
                return None
        return pa.table({"id": came.ids, **columns})

    def _leaves(self, step: Step) -> Left:
        if not step.node.inputs:
            own = self._ids(f"{step.folder}/{part_name(self.number)}") if self.stands(step) else _NONE
            return Left(Came(own))
        if self.stands(step):
            return self._stood(step)
        if step.kind == "model":
            return Left(Came(pa.array([id_of("model", step.keys.run)])))
        came = self.came(step)
        if isinstance(step.node.work, Keep):
            return self._kept(step, step.node.work, came)
        known = self.table(step)
        if known is None and _answers_all(step.stage):
            return Left(came)
        rejected = self._rejected.get(step.name, _NONE)
        there = known.column(_owner(step)).combine_chunks() if known else _NONE
        left = _without(came.ids, rejected)
        unknown = _without(left, there)
        if step.kind == "children" and len(unknown):
            unknown = _without(unknown, self._childless.get(step.name, _NONE))
        if step.kind == "children":
            ids = known.column("id").combine_chunks() if known else _NONE
            return Left(Came(ids, came.sure, came.lacking or len(unknown) > 0), _NONE, rejected, unknown)
        return Left(Came(left, came.sure and not len(unknown), came.lacking), _NONE, rejected, unknown)

    def _stood(self, step: Step) -> Left:
        """What a part that stands says of the rows that came to it."""
        name = f"{step.folder}/{part_name(self.number)}"
        own, aside = self._ids(name), read_row_counts(self.plan.store, name).rejects
        rejected = self._ids(f"{step.folder}/{aside}") if aside else _NONE
        if step.kind != "drops":
            return Left(Came(own), _NONE, rejected)
        kept = _without(_without(self.came(step).ids, own), rejected)
        return Left(Came(kept), own, rejected)

    def _known(self, step: Step) -> pa.Table | None:
        columns = [c for c in step.schema.names if c in self._asked_for(step)]
        if self.stands(step):
            return read_part(self.plan.store, f"{step.folder}/{part_name(self.number)}", columns)
        if step.kind == "survey" and self._may_ask(step):
            return self.compared(step, self.number)
        if step.kind not in ("layer", "children"):
            return None
        came, owner = self.came(step), _owner(step)
        found = known_rows(self.plan, step, self.number, came.ids, owner, columns)
        fresh = _without(came.ids, found.column(owner).combine_chunks())
        if self._may_ask(step):
            return pa.concat_tables([found, self._asked(step, fresh).select(columns)])
        if len(fresh):
            refused, self._childless[step.name] = self.before(step, self.number)
            self._rejected[step.name] = _among(fresh, refused)
        return found

    def _asked(self, step: Step, fresh: pa.Table) -> pa.Table:
        """What the stage says now of rows that no table knows, as far as their own columns are known."""
        base = self.plan[step.node.inputs[0]].base
        read = {name: self.values(base, name, self.plan[by], fresh) for name, by in step.reads.items()}
        known = pa.repeat(True, len(fresh))
        for _, lacking in read.values():
            known = pc.and_(known, pc.invert(lacking))
        table = pa.table({"id": fresh, **{name: column for name, (column, _) in read.items()}}).filter(known)
        many = told_at_once(step, step.stage, table)
        table = without_parents(table, many)
        rows = rows_of(table, step.stage.reads, self.plan.store)
        records: list[dict[str, object]] = []
        rejected: list[str] = []
        answered: list[str] = []
        for pair in zip(table.column("id").to_pylist(), rows, strict=True):
            ((row, answer),) = rowwise.worked(
                step, partial(rowwise.asked, self.plan, step, step.stage), [pair]
            ).items()
            if isinstance(answer, Unavailable):
                raise answer
            records += answer.records
            (rejected if answer.kind else answered).append(row)
        self._rejected[step.name] = pa.array(rejected, pa.string())
        self._childless[step.name] = pa.array(answered, pa.string())
        return pa.concat_tables([many, table_of(records, step.schema)])

    def _kept(self, step: Step, rule: Keep, came: Came) -> Left:
        """The rows for which a rule holds; one whose values no table knows is taken to pass."""
        columns, unknown = {}, pa.repeat(False, len(came.ids))
        for name, author in step.reads.items():
            values, lacking = self.values(step.base, name, self.plan[author], came.ids)
            columns[name], unknown = values, pc.or_(unknown, lacking)
        table = pa.table(columns)
        verdict = evaluate(rule.where, table)
        self.decided[step.name] = Decided(came.ids, table, verdict, unknown)
        known = pc.invert(unknown)
        kept = came.ids.filter(pc.or_(pc.fill_null(verdict, False), unknown))
        return Left(
            kept=Came(kept, came.sure and not pc.any(unknown).as_py(), came.lacking),
            dropped=came.ids.filter(pc.and_(pc.fill_null(pc.invert(verdict), False), known)),
            rejected=came.ids.filter(pc.and_(pc.is_null(verdict), known)),
            open=came.ids.filter(unknown),
        )

    def _asked_for(self, step: Step) -> set[str]:
        """The columns of a step that rules read, and stages that may be asked."""
        found = {"id", "parent", *self.also}
        for reader in self.plan.readers[step.name]:
            if isinstance(reader.node.work, Keep) or self._may_ask(reader):
                found.update(name for name, author in reader.reads.items() if author == step.name)
        return found

    def _may_ask(self, step: Step) -> bool:
        """Whether its stage is asked, in this process."""
        return self.ask and (step.stage.from_store or step.name in self.small)

    def _ladder(self, base: str, home: str) -> Iterator[pa.Table]:
        """The tables whose `parent` columns lead from rows of `base` to those of `home`."""
        while base != home:
            table = self.table(self.plan[base])
            assert table is not None  # its rows came here
            yield table
            base = self.plan[base].parents

    def _ids(self, name: str) -> pa.Array:
        return read_part(self.plan.store, name, ["id"]).column("id").combine_chunks()


def _answers_all(stage: Stage[Any, Any]) -> bool:
    """Whether every row comes through, though its new columns are not known."""
    return isinstance(stage, Compare) or (isinstance(stage, Survey) and stage.answers_all)


def _looked_up(table: pa.Table, name: str, ids: pa.Array) -> pa.Array:
    have = table.column("id").combine_chunks()
    return table.column(name).combine_chunks().take(pc.index_in(ids, value_set=have))


def _among(ids: pa.Array, some: pa.Array) -> pa.Array:
    return ids.filter(pc.is_in(ids, value_set=some))


def _without(ids: pa.Array, some: pa.Array) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=some))) if len(some) else ids


def _owner(step: Step) -> str:
    return "parent" if step.kind == "children" else "id"
