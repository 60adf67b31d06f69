"""The border of a rule: the rows nearest to its threshold, on each side of it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.planning.plan import Plan, Step
from pipeline.preview.decisions import Decided, Sight

Fate = tuple[str, str]


@dataclass(frozen=True)
class Example:
    """A row near a threshold.

    Attributes:
        source: the file it comes from, as its source's table says.
        times: its own columns in seconds.
        value: what was measured; away: how far that is from the nearest threshold.
        before: what became of it in the run before.
    """

    id: str
    kept: bool
    source: str
    times: Mapping[str, float | None]
    value: float
    away: float
    before: Fate


@dataclass
class Border:
    """A rule that compares one column with numbers, and the rows nearest to them.

    Attributes:
        thresholds: the numbers; empty where the rule is of another form, and then there are no examples.
        was: the rule in the run before, "" if it had none of this name.
    """

    step: str
    where: str
    was: str
    column: str = ""
    thresholds: tuple[float, ...] = ()
    kept: list[Example] = field(default_factory=list)
    dropped: list[Example] = field(default_factory=list)

    def look(self, sight: Sight, step: Step, most: int, before: "Before") -> None:
        """Note the rows of a part that are nearer than those seen so far, `most` on each side."""
        decided = sight.decided.get(step.name)
        if decided is None or not self.thresholds:
            return
        away = _distance(decided.columns.column(self.column), self.thresholds)
        for held, nearest in ((True, self.kept), (False, self.dropped)):
            at = _nearest(decided, held, away, most)
            worst = nearest[-1].away if len(nearest) >= most else None
            at = at.filter(pc.less(away.take(at), worst)) if worst is not None else at
            if len(at):
                nearest += _examples(sight, step, decided, at, away, held, before, self.column)
                nearest.sort(key=lambda example: (example.away, example.id))
                del nearest[most:]


class Before:
    """What became of the rows of a part in the run before."""

    def __init__(self, ids: pa.Array, codes: pa.Array, fates: list[Fate]) -> None:
        self.ids, self.codes, self.fates = ids, codes, fates

    def of(self, row: str) -> Fate:
        at = pc.index(self.ids, row).as_py()
        return ("absent", "") if at < 0 else self.fates[self.codes[at].as_py()]


def border_of(step: Step, where: str, was: str) -> Border:
    """The border of a rule."""
    column, thresholds = _compared(where)
    return Border(step.name, where, was, column, thresholds)


def shown_columns(plan: Plan) -> set[str]:
    """The columns that examples show: times of the rows that rules decide about, and names of files."""
    found: set[str] = set()
    for step in plan:
        if step.base == step.name:
            found.update(
                f.name for f in step.schema if _is_time(f) or (step.root == step.name and _is_text(f))
            )
    return found


def _compared(where: str) -> tuple[str, tuple[float, ...]]:
    """The one column of a predicate and the numbers it is compared with; ("", ()) for any other form."""
    tree = ast.parse(" ".join(where.split()), mode="eval")
    numbers: list[float] = []
    for node in ast.walk(tree):
        sides = (node.left, *node.comparators) if isinstance(node, ast.Compare) else ()
        for side in sides:
            sign = -1 if isinstance(side, ast.UnaryOp) and isinstance(side.op, ast.USub) else 1
            value = side.operand if isinstance(side, ast.UnaryOp) else side
            if isinstance(value, ast.Constant) and type(value.value) in (int, float):
                numbers.append(sign * float(value.value))  # type: ignore[arg-type]  # an int or a float
            elif not isinstance(value, ast.Name):
                return "", ()
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return (names.pop(), tuple(numbers)) if len(names) == 1 and numbers else ("", ())


def _distance(column: pa.ChunkedArray, thresholds: tuple[float, ...]) -> pa.Array:
    values = column.combine_chunks().cast(pa.float64())
    away = [pc.abs(pc.subtract(values, threshold)) for threshold in thresholds]
    return pc.min_element_wise(*away)


def _nearest(decided: Decided, held: bool, away: pa.Array, most: int) -> pa.Array:
    """Where the rows stand that are nearest to a threshold on one side of it."""
    side = pc.fill_null(pc.equal(decided.verdict, held), False)
    at = pc.indices_nonzero(pc.and_(side, pc.invert(decided.open)))
    if len(at) <= most:
        return at
    table = pa.table({"away": away.take(at), "at": at})
    return table.take(pc.select_k_unstable(table, most, [("away", "ascending")]))["at"].combine_chunks()


def _examples(
    sight: Sight,
    step: Step,
    decided: Decided,
    at: pa.Array,
    away: pa.Array,
    held: bool,
    before: Before,
    column: str,
) -> list[Example]:
    plan = sight.plan
    ids, base, root = decided.ids.take(at), plan[step.base], plan[step.root]
    times = {f.name: _values(sight, base, f.name, base, ids) for f in base.schema if _is_time(f)}
    texts = [_values(sight, base, f.name, root, ids) for f in root.schema if _is_text(f)]
    values = decided.columns.column(column).take(at).to_pylist()
    return [
        Example(
            id=row,
            kept=held,
            source=min((text[i] for text in texts if text[i]), key=len, default=""),
            times={name: column[i] for name, column in times.items()},
            value=values[i],
            away=away[at[i].as_py()].as_py(),
            before=before.of(row),
        )
        for i, row in enumerate(ids.to_pylist())
    ]


def _values(sight: Sight, base: Step, name: str, author: Step, ids: pa.Array) -> list[Any]:
    values, _ = sight.values(base.name, name, author, ids)
    found: list[Any] = values.to_pylist()
    return found


def _is_time(column: pa.Field) -> bool:
    return bool(pa.types.is_floating(column.type)) and (column.metadata or {}).get(b"unit") == b"s"


def _is_text(column: pa.Field) -> bool:
    return bool(pa.types.is_string(column.type)) and column.name != "id"
