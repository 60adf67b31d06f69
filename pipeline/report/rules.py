"""The rules of a table as the report reads them: comparisons of a column with a number, and their knobs.

A rule that is one comparison, or several joined by `and`, gets a slider for each. Of any other rule, the
report contains its answer for each row.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from manifests.errors import ManifestError
from manifests.predicate import evaluate, names_in
from pipeline.history.run_history import StepHistory
from pipeline.report.sample import DROPPED, KEPT, Sample

BORDERLINE = 0.1  # a value is borderline within this share of a threshold
_OPS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


@dataclass(frozen=True)
class Term:
    """A comparison: the rule keeps a row if the value of the column is on this side of the threshold."""

    column: str
    op: str
    value: float
    knob: str = ""

    def passes(self, value: float | None) -> bool | None:
        """Whether a value passes; None if it is missing."""
        if value is None or value != value:
            return None
        match self.op:
            case ">":
                return value > self.value
            case ">=":
                return value >= self.value
            case "<":
                return value < self.value
        return value <= self.value


@dataclass(frozen=True)
class Rule:
    """A rule. `terms` is empty if it is not a conjunction of comparisons with numbers.

    `answers` has the answer of the rule for each row of the sample; None where a value is missing. For a rule
    that decides rows together, `groups` has the number of the group of each row, and `when` is "all" if the
    rule keeps a group of which each row passes, "any" if one is enough.
    """

    step: str
    because: str
    where: str
    terms: tuple[Term, ...]
    answers: tuple[bool | None, ...]
    groups: tuple[int, ...] = ()
    when: str = ""


def rules_of(sample: Sample, steps: Sequence[StepHistory], knobs: Mapping[str, str]) -> list[Rule]:
    """The rules among some steps.

    Args:
        sample: The rows, with the columns that the rules read.
        steps: Steps that process these rows.
        knobs: The values of the knobs of the recipe, as text.
    """
    rules = []
    for step in steps:
        if step.kind != "drops":
            continue
        because = str(step.made_by.get("because", ""))
        terms = tuple(_with_knob(term, knobs) for term in parse_terms(step.rule, sample))
        rows = range(len(sample.rows))
        answers = [_all(term.passes(sample.value(term.column, row)) for term in terms) for row in rows]
        answers = answers if terms else _answers(step.rule, sample)
        when = str(step.made_by.get("when", ""))
        groups = _groups(sample, str(step.made_by.get("across", "")))
        answers = _together(answers, groups, when) if groups else answers
        rules.append(Rule(step.name, because, step.rule, terms, tuple(answers), groups, when))
    return rules


def parse_terms(rule: str, sample: Sample) -> tuple[Term, ...]:
    """The comparisons of a rule; empty if it has another form or reads other columns than numbers."""
    try:
        terms = list(_terms(ast.parse(rule, mode="eval").body))
    except (ValueError, SyntaxError, RecursionError):
        return ()
    known = all(_is_number(sample.columns.get(term.column)) for term in terms)
    return tuple(terms) if terms and known else ()


def borderline(sample: Sample, rules: Sequence[Rule]) -> list[int | None]:
    """For each row, the rule that decided it within 10 % of its threshold, or None.

    A kept row counts if a value is that near to any threshold; a dropped row if the rule that dropped it is
    the only one that it fails.
    """
    found: list[int | None] = [None] * len(sample.rows)
    for row, outcome in enumerate(sample.outcomes):
        failed = [number for number, rule in enumerate(rules) if rule.answers[row] is False]
        if outcome.kind == KEPT:
            near = [(d, n) for n, rule in enumerate(rules) for d in _distances(sample, rule, row)]
        elif outcome.kind == DROPPED and [rules[number].step for number in failed] == [outcome.step]:
            near = [(max(d), failed[0]) for d in [_distances(sample, rules[failed[0]], row)] if d]
        else:
            continue
        distance, number = min(near, default=(1.0, -1))
        if distance <= BORDERLINE:
            found[row] = number
    return found


def _distances(sample: Sample, rule: Rule, row: int) -> list[float]:
    """Distance of the values of a row from the thresholds of a rule, as shares of the thresholds."""
    values = [(sample.value(term.column, row), term.value) for term in rule.terms]
    return [abs(value - limit) / abs(limit) for value, limit in values if value is not None and limit]


def _terms(node: ast.expr) -> list[Term]:
    """The comparisons of an expression.

    Raises:
        ValueError: the expression has another form.
    """
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return [term for part in parts for term in _terms(part)]
        case ast.Compare(left=left, ops=ops, comparators=rights):
            pairs = zip((left, *rights), ops, rights, strict=False)
            return [_term(one, _OPS.get(type(op), ""), two) for one, op, two in pairs]
    raise ValueError(node)


def _term(left: ast.expr, op: str, right: ast.expr) -> Term:
    if op and isinstance(left, ast.Name):
        return Term(left.id, op, _number(right))
    if op and isinstance(right, ast.Name):
        return Term(right.id, _FLIPPED[op], _number(left))
    raise ValueError(op)


def _number(node: ast.expr) -> float:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_number(inner)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
    raise ValueError(node)


def _with_knob(term: Term, knobs: Mapping[str, str]) -> Term:
    """The term with the knob that sets its threshold: `min_` or `max_` and the column, with this value."""
    name = f"{'min' if term.op.startswith('>') else 'max'}_{term.column}"
    try:
        return Term(term.column, term.op, term.value, name) if float(knobs[name]) == term.value else term
    except (KeyError, ValueError):
        return term


def _is_number(column: Mapping[str, Any] | None) -> bool:
    return column is not None and str(column["type"]).startswith(("int", "uint", "double", "float", "half"))


def _answers(rule: str, sample: Sample) -> list[bool | None]:
    """The answers of a rule of any form; None for all rows if a column is not in the sample."""
    try:
        columns = {name: pa.array(sample.values[name]) for name in names_in(rule)}
        return list(evaluate(rule, pa.table(columns)).to_pylist())
    except (KeyError, ManifestError, pa.ArrowInvalid):
        return [None] * len(sample.rows)


def _groups(sample: Sample, across: str) -> tuple[int, ...]:
    """The number of the group of each row; empty if the rule decides each row alone."""
    names = sample.parents if across == "parent" else sample.values.get(across, [])
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return tuple(numbers[name] for name in names)


def _together(answers: Sequence[bool | None], groups: Sequence[int], when: str) -> list[bool | None]:
    """The answer of the group of each row. A row without an answer, as one dropped earlier, has no say."""
    decisive = when == "any"
    verdicts: dict[int, bool | None] = {}
    for group, one in zip(groups, answers, strict=True):
        known = verdicts.get(group)
        verdicts[group] = known if one is None or known is decisive else one
    return [verdicts[group] for group in groups]


def _all(answers: Any) -> bool | None:
    """Whether all answers are true; None if one is missing and none is false."""
    every = list(answers)
    return False if False in every else None if None in every else True
