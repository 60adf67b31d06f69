"""Predicates over rows: "motion_mean > 0.4 and not has_text", as an Arrow expression.

Allowed are `and or not`, comparisons (also chained: `2 <= duration_s < 60`), `in` and `not in` with
a list of values, `is None`, `+ - * /`, numbers, text, `True`, `False`, parentheses and column names.
The text is read with Python's parser and never evaluated.

A value that is missing or not a number (NaN), or a division by zero, makes a comparison neither true
nor false but null: `false and null` is false, `true and null` is null. Arithmetic is done in float64.
"""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ManifestError, SchemaMismatch, UnknownColumn
from manifests.wording import listed, nearest, pointed

_UNKNOWN = pa.scalar(None, pa.bool_())
_NOTHING = pa.scalar(None, pa.float64())
_COMPARE: dict[type[ast.cmpop], Callable[..., pc.Expression]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[..., pc.Expression]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: lambda above, below: pc.divide(above, pc.if_else(below == pc.scalar(0.0), _NOTHING, below)),
}
_INT64 = range(-(2**63), 2**63)
_LONGEST = 400  # operations and names; Arrow walks an expression by recursion, and would end the process


class _Term(NamedTuple):
    """An expression and what it holds: "whole" or "real" numbers, "text", "flag" (yes or no), "other"."""

    made: pc.Expression
    kind: str

    @property
    def is_number(self) -> bool:
        return self.kind in ("whole", "real")

    def real(self) -> pc.Expression:
        """As float64. Arrow would by itself compare int64 with 0.5 in float32, and fail over 2**24."""
        return self.made.cast(pa.float64(), safe=False) if self.kind == "whole" else self.made


def parse(text: str, schema: pa.Schema) -> pc.Expression:
    """The Arrow expression of a predicate over rows of `schema`; it yields true, false or null.

    Raises:
        UnknownColumn: a name is not in `schema`; the error offers the nearest one.
        SchemaMismatch: the types do not fit, such as text compared with a number.
        ManifestError: it is not a predicate, or uses what predicates do not have.
    """
    tree, line = _read(text)
    term = _Builder(line, schema).build(tree)
    if not names_in(text):
        raise ManifestError(
            "this predicate names no column, so it says the same of every row",
            where=pointed(line, 0, len(line)),
            remedy="name a column, or leave the rule out",
        )
    if term.kind != "flag":
        raise SchemaMismatch(
            "a predicate must come out as true or false",
            where=pointed(line, 0, len(line)),
            remedy="compare it with something, as in `motion_mean > 0.4`",
        )
    return term.made


@lru_cache(maxsize=256)
def names_in(text: str) -> tuple[str, ...]:
    """The column names that a predicate reads, each once, in the order they are written.

    Raises:
        ManifestError: it is not a predicate at all.
    """
    found = [node for node in ast.walk(_read(text)[0]) if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(n.id for n in sorted(found, key=lambda n: n.col_offset)))


def evaluate(text: str, table: pa.Table) -> pa.BooleanArray:
    """For each row of `table`, in order: true, false, or null where a value is missing. Raises as `parse`."""
    return evaluate_all([text], table)[0]


def evaluate_all(texts: Sequence[str], table: pa.Table) -> list[pa.BooleanArray]:
    """Several predicates over the same rows, in one go; as `evaluate`."""
    import pyarrow.acero as acero  # which imports pandas where it is installed: half a second

    made = [parse(text, table.schema) for text in texts]
    read = list(dict.fromkeys(name for text in texts for name in names_in(text)))
    steps = [
        acero.Declaration("table_source", acero.TableSourceNodeOptions(table.select(read))),
        acero.Declaration("project", acero.ProjectNodeOptions(made, [f"{k}" for k in range(len(made))])),
    ]
    answers = acero.Declaration.from_sequence(steps).to_table(use_threads=False)
    return [answer.combine_chunks() for answer in answers.columns]


@lru_cache(maxsize=256)
def _read(text: str) -> tuple[ast.expr, str]:
    """The syntax tree of a predicate, and its text on one line."""
    line = text.replace("\r", " ").replace("\n", " ").strip()
    try:
        tree = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise ManifestError(
            f"this is not a predicate: {error.msg}",
            where=pointed(line, (error.offset or len(line)) - 1, 1),
            remedy='write it as in "motion_mean > 0.4 and not has_text"',
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        why = str(error) or "it is nested too deep"
        raise ManifestError(f"this is not a predicate: {why}", where=repr(line[:80])) from None
    parts = sum(isinstance(n, ast.expr) and not isinstance(n, ast.Constant) for n in ast.walk(tree))
    if parts > _LONGEST:
        raise ManifestError(
            f"this predicate has {parts} operations and names, and {_LONGEST} are the most",
            where=pointed(line, 0, len(line)),
            remedy="list values with `in (…)`, or let a stage measure the answer as a column",
        )
    return tree, line


class _Builder:
    """Builds the expression of one predicate, checking names and types on the way."""

    def __init__(self, line: str, schema: pa.Schema) -> None:
        self.line, self.schema = line, schema

    def build(self, node: ast.expr) -> _Term:
        match node:
            case ast.BoolOp(op=op, values=parts):
                join = operator.and_ if isinstance(op, ast.And) else operator.or_
                return _Term(reduce(join, [self._flag(p) for p in parts]), "flag")
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return _Term(~self._flag(inner), "flag")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return self._number(node, -value)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _Term(pc.negate(self._real(inner)), "real")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _Term(_ARITHMETIC[type(op)](self._real(left), self._real(right)), "real")
            case ast.Compare(left=left, ops=ops, comparators=rights):
                pairs = zip((left, *rights), ops, rights, strict=False)
                return _Term(reduce(operator.and_, [self._pair(*pair) for pair in pairs]), "flag")
            case ast.Name(id=name):
                return self._column(node, name)
            case ast.Constant(value=bool() as value):
                return _Term(pc.scalar(value), "flag")
            case ast.Constant(value=str() as value):
                return _Term(pc.scalar(value), "text")
            case ast.Constant(value=int() | float() as value):
                return self._number(node, value)
        raise self._refused(node)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pc.Expression:
        """One comparison of a chain."""
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._refused(right, "`is` only asks for None", "write `==` to compare values")
            missing = self.build(left).made.is_null(nan_is_null=True)
            return missing if isinstance(op, ast.Is) else ~missing
        if isinstance(op, ast.In | ast.NotIn):
            found = self._among(left, right)
            return found if isinstance(op, ast.In) else ~found
        for side in (left, right):
            if isinstance(side, ast.Constant) and side.value is None:
                raise self._refused(side, "nothing compares with None", "write `is None` or `is not None`")
        return self._compared(left, op, right)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pc.Expression:
        one, two = self.build(left), self.build(right)
        compare = _COMPARE[type(op)]
        if one.kind == two.kind == "flag" and not isinstance(op, ast.Eq | ast.NotEq):
            raise self._mismatch(right, "yes-or-no values have no order")
        if one.kind == two.kind and one.kind in ("whole", "text", "flag"):
            return compare(one.made, two.made)
        if not (one.is_number and two.is_number):
            raise self._mismatch(right, f"{_said(one)} is compared with {_said(two)}")
        reals = [term.made for term in (one, two) if term.kind == "real"]
        unknown = reduce(operator.or_, [real.is_nan() for real in reals])
        return pc.if_else(unknown, _UNKNOWN, compare(one.real(), two.real()))

    def _among(self, left: ast.expr, right: ast.expr) -> pc.Expression:
        """`left in (value, …)`."""
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            raise self._refused(
                right, "`in` needs a list of values", "write it as in `codec in ('h264', 'av1')`"
            )
        values = [self._value(item) for item in right.elts]
        term = self.build(left)
        for item, value in zip(right.elts, values, strict=True):
            fits = {"text": str, "flag": bool}.get(term.kind, int | float)
            if (
                term.kind == "other"
                or not isinstance(value, fits)
                or (isinstance(value, bool) and term.kind != "flag")
            ):
                raise self._mismatch(item, f"{_said(term)} cannot be {value!r}")
        real = term.kind == "real" or float in map(type, values)
        kind = {"text": pa.string(), "flag": pa.bool_()}.get(term.kind, pa.float64() if real else pa.int64())
        made = term.real() if real else term.made
        return pc.if_else(made.is_null(nan_is_null=True), _UNKNOWN, made.isin(pa.array(values, kind)))

    def _value(self, node: ast.expr) -> str | int | float | bool:
        """A value written out in a list."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -self._finite(node, value)
            case ast.Constant(value=str() | bool() as value):
                return value
            case ast.Constant(value=int() | float() as value):
                return self._finite(node, value)
        raise self._refused(
            node, "only plain values can stand in the list after `in`", "list numbers or texts"
        )

    def _column(self, node: ast.expr, name: str) -> _Term:
        if name not in self.schema.names:
            near = nearest(name, self.schema.names)
            raise UnknownColumn(
                f"there is no column {name!r} here",
                where=self._at(node),
                remedy=f"did you mean {near!r}?" if near else f"columns here: {listed(self.schema.names)}",
            )
        kind = self.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        made = pc.field(name)
        if pa.types.is_boolean(kind):
            return _Term(made, "flag")
        if pa.types.is_integer(kind):
            return _Term(made.cast(pa.int64()), "whole") if kind != pa.int64() else _Term(made, "whole")
        if pa.types.is_floating(kind):
            return _Term(made.cast(pa.float64()), "real") if kind != pa.float64() else _Term(made, "real")
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _Term(made.cast(pa.string()), "text") if kind != pa.string() else _Term(made, "text")
        return _Term(made, "other")

    def _number(self, node: ast.expr, value: int | float) -> _Term:
        self._finite(node, value)
        return _Term(pc.scalar(value), "whole" if isinstance(value, int) else "real")

    def _finite(self, node: ast.expr, value: int | float) -> int | float:
        if (isinstance(value, int) and value not in _INT64) or not math.isfinite(value):
            raise self._refused(node, "this number is too large", "use one that fits into 64 bits")
        return value

    def _flag(self, node: ast.expr) -> pc.Expression:
        term = self.build(node)
        if term.kind != "flag":
            raise self._mismatch(node, f"and, or, not join yes-or-no values, and this is {_said(term)}")
        return term.made

    def _real(self, node: ast.expr) -> pc.Expression:
        term = self.build(node)
        if not term.is_number:
            raise self._mismatch(node, f"{_said(term)} cannot be calculated with")
        return term.real()

    def _refused(self, node: ast.expr, what: str = "", remedy: str = "") -> ManifestError:
        return ManifestError(
            what or "this is not allowed in a predicate",
            where=self._at(node),
            remedy=remedy
            or "allowed are: and or not, < <= == != >= >, in, is None, + - * /, numbers, text, columns",
        )

    def _mismatch(self, node: ast.expr, what: str) -> SchemaMismatch:
        return SchemaMismatch(
            what, where=self._at(node), remedy="compare numbers with numbers and text with text"
        )

    def _at(self, node: ast.expr) -> str:
        """The line with a mark under `node`; syntax trees count in UTF-8 bytes."""
        data = self.line.encode()
        start = len(data[: node.col_offset].decode())
        return pointed(self.line, start, len(data[node.col_offset : node.end_col_offset].decode()))


def _said(term: _Term) -> str:
    names = {"whole": "a number", "real": "a number", "text": "text", "flag": "yes or no"}
    return names.get(term.kind, "a column that is neither number, text nor yes-or-no")
