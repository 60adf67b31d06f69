"""The borderline of a rule: the rows nearest to its threshold, on both sides."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.planning.plan import Plan, Step
from pipeline.preview.decisions import PartDecisions, RuleDecision

Outcome = tuple[str, str]  # the kind of outcome, and the step that decided


@dataclass(frozen=True)
class Example:
    """A row near a threshold.

    Attributes:
        id: Id of the row.
        kept: Whether the rule keeps it.
        source: Name of its source file, from the table of its source.
        times: The columns of the row that are in seconds.
        value: The value that the rule compares.
        distance: Distance of the value from the nearest threshold, in the unit of the value.
        before: Outcome of the row in the previous run.
    """

    id: str
    kept: bool
    source: str
    times: Mapping[str, float | None]
    value: float
    distance: float
    before: Outcome


@dataclass
class Borderline:
    """A rule that compares one column with numbers, and the rows nearest to these numbers.

    Attributes:
        step: Name of the rule.
        where: The predicate of the rule.
        previous: Its predicate in the previous run; "" if that run had no rule of this name.
        column: The column that the rule compares; "" if the rule has another form.
        thresholds: The numbers; empty if the rule has another form, and then there are no examples.
        kept, dropped: The nearest rows that the rule keeps and drops, the nearest first.
    """

    step: str
    where: str
    previous: str
    column: str = ""
    thresholds: tuple[float, ...] = ()
    kept: list[Example] = field(default_factory=list)
    dropped: list[Example] = field(default_factory=list)

    def add_rows(
        self, decisions: PartDecisions, step: Step, max_examples: int, before: "PreviousOutcomes"
    ) -> None:
        """Add the nearest rows of a part; at most `max_examples` are retained on each side."""
        decision = decisions.rule_decisions.get(step.name)
        if decision is None or not self.thresholds:
            return
        distance = _distance(decision.columns.column(self.column), self.thresholds)
        for kept, nearest in ((True, self.kept), (False, self.dropped)):
            at = _nearest(decision, kept, distance, max_examples)
            worst = nearest[-1].distance if len(nearest) >= max_examples else None
            at = at.filter(pc.less(distance.take(at), worst)) if worst is not None else at
            if len(at):
                nearest += _examples(decisions, step, decision, at, distance, kept, before, self.column)
                nearest.sort(key=lambda example: (example.distance, example.id))
                del nearest[max_examples:]


class PreviousOutcomes:
    """The outcomes of the rows of a part in the previous run."""

    def __init__(self, ids: pa.Array, codes: pa.Array, outcomes: list[Outcome]) -> None:
        self.ids, self.codes, self.outcomes = ids, codes, outcomes

    def of(self, row: str) -> Outcome:
        """The outcome of a row by its id."""
        at = pc.index(self.ids, row).as_py()
        return ("absent", "") if at < 0 else self.outcomes[self.codes[at].as_py()]


def borderline_of(step: Step, where: str, previous: str) -> Borderline:
    """The borderline of a rule, without examples yet."""
    column, thresholds = parse_thresholds(where)
    return Borderline(step.name, where, previous, column, thresholds)


def shown_columns(plan: Plan) -> set[str]:
    """The columns that examples show: the times of the rows, and the names of source files."""
    columns: set[str] = set()
    for step in plan:
        if step.base == step.name:
            columns.update(
                f.name for f in step.schema if _is_time(f) or (step.root == step.name and _is_text(f))
            )
    return columns


def parse_thresholds(where: str) -> tuple[str, tuple[float, ...]]:
    """The column of a predicate and the numbers with which it is compared; ("", ()) for any other form."""
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
    distances = [pc.abs(pc.subtract(values, threshold)) for threshold in thresholds]
    return pc.min_element_wise(*distances)


def _nearest(decision: RuleDecision, kept: bool, distance: pa.Array, max_rows: int) -> pa.Array:
    """The indices of the rows nearest to a threshold, of those that are kept or of those that are dropped."""
    side = pc.fill_null(pc.equal(decision.verdict, kept), False)
    at = pc.indices_nonzero(pc.and_(side, pc.invert(decision.is_unknown)))
    if len(at) <= max_rows:
        return at
    table = pa.table({"distance": distance.take(at), "at": at})
    return table.take(pc.select_k_unstable(table, max_rows, [("distance", "ascending")]))[
        "at"
    ].combine_chunks()


def _examples(
    decisions: PartDecisions,
    step: Step,
    decision: RuleDecision,
    at: pa.Array,
    distance: pa.Array,
    kept: bool,
    before: PreviousOutcomes,
    column: str,
) -> list[Example]:
    plan = decisions.plan
    ids, base, root = decision.ids.take(at), plan[step.base], plan[step.root]
    times = {f.name: _values(decisions, base, f.name, base, ids) for f in base.schema if _is_time(f)}
    texts = [_values(decisions, base, f.name, root, ids) for f in root.schema if _is_text(f)]
    values = decision.columns.column(column).take(at).to_pylist()
    return [
        Example(
            id=row,
            kept=kept,
            source=min((text[i] for text in texts if text[i]), key=len, default=""),
            times={name: column[i] for name, column in times.items()},
            value=values[i],
            distance=distance[at[i].as_py()].as_py(),
            before=before.of(row),
        )
        for i, row in enumerate(ids.to_pylist())
    ]


def _values(decisions: PartDecisions, base: Step, name: str, author: Step, ids: pa.Array) -> list[Any]:
    column, _ = decisions.values(base.name, name, author, ids)
    values: list[Any] = column.to_pylist()
    return values


def _is_time(column: pa.Field) -> bool:
    return bool(pa.types.is_floating(column.type)) and (column.metadata or {}).get(b"unit") == b"s"


def _is_text(column: pa.Field) -> bool:
    return bool(pa.types.is_string(column.type)) and column.name != "id"
