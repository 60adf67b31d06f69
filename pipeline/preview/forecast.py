"""Foresight: what a run would do to each step, worked out from what stands, without writing anything.

Figures that rest on rows of which nothing is known are marked as the most that can come.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow.compute as pc

from manifests.manifest import read_manifest
from manifests.table import parts_of
from pipeline.planning.plan import Plan, Step
from pipeline.preview.decisions import Sight


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


def foresee(plan: Plan, look: Callable[[str, int], Sight] | None = None) -> list[Ahead]:
    """What a run of `plan` would do, step by step.

    Args:
        look: gives the sight of a part, by its root and number, for those who want to see more in it.
    """
    look = look or (lambda _, number: Sight(plan, number))
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
            sight = look(home, number)
            for ahead in found.values():
                if _home(plan, ahead.step) == home:
                    _count(ahead, sight)
    return list(found.values())


def _home(plan: Plan, step: Step) -> str:
    """The root whose parts hold the rows that come to a step."""
    return plan[step.node.inputs[0]].root if step.kind == "model" else step.root


def _count(ahead: Ahead, sight: Sight) -> None:
    """Add what comes to one part of a step, if the part is to be made."""
    step = ahead.step
    if ahead.whole or ahead.rows is None or not step.node.inputs:
        return
    if step.kind != "model" and sight.stands(step):
        return
    came = sight.came(step)
    if came.lacking:
        ahead.rows = None
        return
    ahead.rows += len(came.ids)
    ahead.sure = ahead.sure and came.sure
    if step.kind in ("layer", "children"):
        known = sight.table(step)
        owner = "parent" if step.kind == "children" else "id"
        ahead.reused += len(pc.unique(known.column(owner))) if known else 0
