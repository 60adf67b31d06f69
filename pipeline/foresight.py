"""Foresight: what a run would do to each step, worked out from what stands, without writing anything.

Rules are decided in memory where the columns they read are known, from this plan's tables or from
earlier ones with the same content key. What no table knows is taken to pass, and figures that rest
on it are marked as the most that can come.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import id_of
from manifests.manifest import read_manifest
from manifests.predicate import evaluate
from manifests.table import part_name, parts_of, read_part
from pipeline.dag import Keep
from pipeline.kinds.known import known_rows
from pipeline.plan import Plan, Step
from pipeline.reading import through


@dataclass
class Ahead:
    """What a run would do to one step.

    Attributes:
        parts: how many parts its table has, or None while its source is not listed.
        standing: how many of them stand.
        rows: rows that will come to the parts that do not stand, or None if that is not known.
        reused: how many of these an earlier table knows; they are copied.
        sure: whether `rows` is exact; otherwise it is the most that can come.
    """

    step: Step
    whole: bool
    standing: int
    parts: int | None
    rows: int | None = 0
    reused: int = 0
    sure: bool = True

    @property
    def new(self) -> int | None:
        """Rows that the step has to be run on."""
        return None if self.rows is None else self.rows - self.reused


def foresee(plan: Plan) -> list[Ahead]:
    """What a run of `plan` would do, step by step."""
    found: dict[str, Ahead] = {}
    for step in plan:
        standing = parts_of(plan.store, step.folder)
        whole = read_manifest(plan.store, step.folder) is not None
        root = found.get(step.root)
        parts = root.parts if root else len(standing) if whole else 1 if step.kind == "model" else None
        found[step.name] = Ahead(step, whole, len(standing), parts)
    for ahead in found.values():
        if not ahead.whole and found[_home(plan, ahead.step)].parts is None:
            ahead.rows = None
    for home in {ahead.step.root for ahead in found.values()}:
        for number in range(found[home].parts or 0):
            sight = _Sight(plan, number)
            for ahead in found.values():
                if _home(plan, ahead.step) == home:
                    _count(ahead, sight)
    return list(found.values())


def _home(plan: Plan, step: Step) -> str:
    """The root whose parts hold the rows that come to a step."""
    return plan[step.node.inputs[0]].root if step.kind == "model" else step.root


def _count(ahead: Ahead, sight: "_Sight") -> None:
    """Add what comes to one part of a step, if the part is to be made."""
    step = ahead.step
    if ahead.whole or ahead.rows is None or not step.node.inputs:
        return
    if step.kind != "model" and sight.stands(step):
        return
    came = sight.came(step)
    if came is None:
        ahead.rows = None
        return
    ahead.rows += len(came.ids)
    ahead.sure = ahead.sure and came.sure
    if step.kind in ("layer", "children"):
        known = sight.table(step)
        ahead.reused += len(pc.unique(known.column(_owner(step)))) if known else 0


@dataclass(frozen=True)
class _Came:
    ids: pa.Array
    sure: bool


@dataclass
class _Sight:
    """One part number, looked at through all steps."""

    plan: Plan
    number: int
    _left: dict[str, _Came | None] = field(default_factory=dict)
    _tables: dict[str, pa.Table | None] = field(default_factory=dict)

    def stands(self, step: Step) -> bool:
        return self.plan.store.exists(f"{step.folder}/{part_name(self.number)}")

    def came(self, step: Step) -> _Came | None:
        """The rows that come to a step; None if they cannot be known."""
        befores = [self.left(self.plan[name]) for name in step.node.inputs]
        ids, sure = None, True
        for before in befores:
            if before is None:
                return None
            ids = before.ids if ids is None else ids.filter(pc.is_in(ids, value_set=before.ids))
            sure = sure and before.sure
        return None if ids is None else _Came(ids, sure)

    def left(self, step: Step) -> _Came | None:
        """The rows that leave a step as kept."""
        if step.name not in self._left:
            self._left[step.name] = self._leaves(step)
        return self._left[step.name]

    def table(self, step: Step) -> pa.Table | None:
        """The part of a step's table, or as much of it as earlier tables know."""
        if step.name not in self._tables:
            self._tables[step.name] = self._known(step)
        return self._tables[step.name]

    def _leaves(self, step: Step) -> _Came | None:
        if self.stands(step):
            return _Came(through(self.plan, step, self.number), True)
        if step.kind == "model":
            return _Came(pa.array([id_of("model", step.keys.run)]), True)
        came = self.came(step)
        if came is None:
            return None
        if isinstance(step.node.work, Keep):
            return self._kept(step, step.node.work, came)
        known = self.table(step)
        if step.kind == "children":
            parents = pc.unique(known.column("parent")) if known else []
            complete = len(parents) == len(came.ids)
            ids = known.column("id").combine_chunks() if known else None
            return _Came(ids, came.sure) if complete and ids is not None else None
        return _Came(came.ids, came.sure and known is not None and known.num_rows == len(came.ids))

    def _known(self, step: Step) -> pa.Table | None:
        if self.stands(step):
            return read_part(self.plan.store, f"{step.folder}/{part_name(self.number)}")
        came = self.came(step)
        if came is None or step.kind not in ("layer", "children"):
            return None
        return known_rows(self.plan, step, self.number, came.ids, _owner(step))

    def _kept(self, step: Step, rule: Keep, came: _Came) -> _Came:
        """The rows for which a rule holds; one whose values no table knows is taken to pass."""
        columns, unknown = {}, pa.array([False] * len(came.ids), pa.bool_())
        for name, author in step.reads.items():
            values, lacking = self._values(step.base, name, self.plan[author], came.ids)
            columns[name], unknown = values, pc.or_(unknown, lacking)
        verdict = pc.fill_null(evaluate(rule.where, pa.table(columns)), False)
        ids = came.ids.filter(pc.or_(verdict, unknown))
        return _Came(ids, came.sure and not pc.any(unknown).as_py())

    def _values(self, base: str, name: str, author: Step, ids: pa.Array) -> tuple[pa.Array, pa.Array]:
        """A column of the rows `ids` of `base`, and which of them no table knows."""
        for table in self._ladder(base, author.base):
            at = pc.index_in(ids, value_set=table.column("id").combine_chunks())
            ids = table.column("parent").combine_chunks().take(at)
        table = self.table(author)
        if table is None:
            nothing = pa.nulls(len(ids), author.schema.field(name).type)
            return nothing, pa.array([True] * len(ids), pa.bool_())
        at = pc.index_in(ids, value_set=table.column("id").combine_chunks())
        return table.column(name).combine_chunks().take(at), pc.is_null(at)

    def _ladder(self, base: str, home: str) -> Iterator[pa.Table]:
        """The tables whose `parent` columns lead from rows of `base` to those of `home`."""
        while base != home:
            table = self.table(self.plan[base])
            assert table is not None  # its rows came here
            yield table
            base = self.plan[base].parents


def _owner(step: Step) -> str:
    return "parent" if step.kind == "children" else "id"
