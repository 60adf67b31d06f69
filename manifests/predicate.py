"""Predicates over rows, such as "motion_mean > 0.4 and not has_text", compiled to Arrow expressions.

A predicate can use `and or not`, comparisons (also chained: `2 <= duration_s < 60`), `in` and `not in` with a
list of values, `is None`, `+ - * /`, numbers, text, `True`, `False`, parentheses and column names. Python's
parser reads the text; the text is never evaluated as Python.

A comparison with a missing value, with NaN or with a division by zero is null, neither true nor false:
`false and null` is false, `true and null` is null. Arithmetic uses float64.
"""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import InvalidPredicate, UnknownColumn
from manifests.messages import join_names, mark_position, suggest_names

_UNKNOWN, _NULL_NUMBER = (
    pa.nulls(1, kind)[0] for kind in (pa.bool_(), pa.float64())
)  # pa.scalar loads pandas
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
    ast.Div: lambda one, two: pc.divide(one, pc.if_else(two == pc.scalar(0.0), _NULL_NUMBER, two)),
}
_INT64 = range(-(2**63), 2**63)
_MAX_TERMS = 400  # operations and names; Arrow walks an expression by recursion and overflows the stack


class _Term(NamedTuple):
    """An expression and its type: "int", "float", "text", "bool" or "other"."""

    expression: pc.Expression
    kind: str

    @property
    def is_number(self) -> bool:
        return self.kind in ("int", "float")

    def as_float(self) -> pc.Expression:
        """The expression as float64. Arrow compares int64 with 0.5 in float32, which fails above 2**24."""
        return self.expression.cast(pa.float64(), safe=False) if self.kind == "int" else self.expression


def parse(text: str, schema: pa.Schema) -> pc.Expression:
    """Compile a predicate over rows of `schema` to an Arrow expression that gives true, false or null.

    Raises:
        UnknownColumn: a name is not in `schema`; the error names the closest column.
        InvalidPredicate: the text is not a predicate, uses syntax that predicates do not support, or the
            types do not fit, such as text compared with a number.
    """
    tree, line = _read(text)
    term = _Builder(line, schema).build(tree)
    if not names_in(text):
        raise InvalidPredicate(
            "this predicate names no column, so its result is the same for every row",
            where=mark_position(line, 0, len(line)),
            remedy="name a column, or remove the rule",
        )
    if term.kind != "bool":
        raise InvalidPredicate(
            "the result of a predicate must be true or false",
            where=mark_position(line, 0, len(line)),
            remedy="compare the value with another one, as in `motion_mean > 0.4`",
        )
    return term.expression


@lru_cache(maxsize=256)
def names_in(text: str) -> tuple[str, ...]:
    """The column names that a predicate reads, each once, in the order in which they are written.

    Raises:
        InvalidPredicate: the text is not a predicate.
    """
    names = [node for node in ast.walk(_read(text)[0]) if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(n.id for n in sorted(names, key=lambda n: n.col_offset)))


def evaluate(text: str, table: pa.Table) -> pa.BooleanArray:
    """Evaluate a predicate for each row of `table`, in order: true, false, or null. Raises as `parse`."""
    return evaluate_all([text], table)[0]


def evaluate_all(texts: Sequence[str], table: pa.Table) -> list[pa.BooleanArray]:
    """Evaluate several predicates over the same rows in one pass; otherwise as `evaluate`."""
    import pyarrow.acero as acero  # this imports pandas if it is installed, which takes half a second

    expressions = [parse(text, table.schema) for text in texts]
    columns = list(dict.fromkeys(name for text in texts for name in names_in(text)))
    names = [f"{k}" for k in range(len(expressions))]
    steps = [
        acero.Declaration("table_source", acero.TableSourceNodeOptions(table.select(columns))),
        acero.Declaration("project", acero.ProjectNodeOptions(expressions, names)),
    ]
    results = acero.Declaration.from_sequence(steps).to_table(use_threads=False)
    return [result.combine_chunks() for result in results.columns]


@lru_cache(maxsize=256)
def _read(text: str) -> tuple[ast.expr, str]:
    """Parse a predicate: its syntax tree, and its text on one line."""
    line = text.replace("\r", " ").replace("\n", " ").strip()
    try:
        tree = ast.parse(line, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason, where = str(error) or "it is nested too deeply", repr(line[:80])
        if isinstance(error, SyntaxError):
            reason, where = error.msg, mark_position(line, (error.offset or len(line)) - 1, 1)
        remedy = 'write it as in "motion_mean > 0.4 and not has_text"'
        raise InvalidPredicate(f"this is not a predicate: {reason}", where=where, remedy=remedy) from None
    terms = sum(isinstance(n, ast.expr) and not isinstance(n, ast.Constant) for n in ast.walk(tree))
    if terms > _MAX_TERMS:
        raise InvalidPredicate(
            f"this predicate has {terms} operations and names; the maximum is {_MAX_TERMS}",
            where=mark_position(line, 0, len(line)),
            remedy="list values with `in (…)`, or add the result as a column in a stage",
        )
    return tree, line


class _Builder:
    """Builds the expression of one predicate and checks its names and types."""

    def __init__(self, line: str, schema: pa.Schema) -> None:
        self.line, self.schema = line, schema

    def build(self, node: ast.expr) -> _Term:
        match node:
            case ast.BoolOp(op=op, values=parts):
                join = operator.and_ if isinstance(op, ast.And) else operator.or_
                return _Term(reduce(join, [self._bool(p) for p in parts]), "bool")
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return _Term(~self._bool(inner), "bool")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return self._number(node, -value)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _Term(pc.negate(self._float(inner)), "float")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _Term(_ARITHMETIC[type(op)](self._float(left), self._float(right)), "float")
            case ast.Compare(left=left, ops=ops, comparators=rights):
                pairs = zip((left, *rights), ops, rights, strict=False)
                return _Term(reduce(operator.and_, [self._comparison(*pair) for pair in pairs]), "bool")
            case ast.Name(id=name):
                return self._column(node, name)
            case ast.Constant(value=bool() as value):
                return _Term(pc.scalar(value), "bool")
            case ast.Constant(value=str() as value):
                return _Term(pc.scalar(value), "text")
            case ast.Constant(value=int() | float() as value):
                return self._number(node, value)
        raise self._not_allowed(node)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pc.Expression:
        """One comparison of a chain."""
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._not_allowed(right, "`is` works only with None", "write `==` to compare values")
            missing = self.build(left).expression.is_null(nan_is_null=True)
            return missing if isinstance(op, ast.Is) else ~missing
        if isinstance(op, ast.In | ast.NotIn):
            member = self._membership(left, right)
            return member if isinstance(op, ast.In) else ~member
        for side in (left, right):
            if isinstance(side, ast.Constant) and side.value is None:
                remedy = "write `is None` or `is not None`"
                raise self._not_allowed(side, "a value cannot be compared with None", remedy)
        return self._ordering(left, op, right)

    def _ordering(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pc.Expression:
        for side, other in ((left, right), (right, left)):
            is_unknown = isinstance(side, ast.Name) and side.id not in self.schema.names
            if is_unknown and self.build(other).kind == "text":
                raise self._unknown_column(side, ast.unparse(side), is_text=True)
        one, two = self.build(left), self.build(right)
        compare = _COMPARE[type(op)]
        if one.kind == two.kind == "bool" and not isinstance(op, ast.Eq | ast.NotEq):
            raise self._mismatch(right, "true-or-false values have no order")
        if one.kind == two.kind and one.kind in ("int", "text", "bool"):
            return compare(one.expression, two.expression)
        if not (one.is_number and two.is_number):
            raise self._mismatch(right, f"{_describe(one)} is compared with {_describe(two)}")
        floats = [term.expression for term in (one, two) if term.kind == "float"]
        unknown = reduce(operator.or_, [value.is_nan() for value in floats])
        return pc.if_else(unknown, _UNKNOWN, compare(one.as_float(), two.as_float()))

    def _membership(self, left: ast.expr, right: ast.expr) -> pc.Expression:
        """`left in (value, …)`."""
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            remedy = "write it as in `codec in ('h264', 'av1')`"
            raise self._not_allowed(right, "`in` needs a list of values", remedy)
        values = [self._value(item) for item in right.elts]
        term = self.build(left)
        for item, value in zip(right.elts, values, strict=True):
            fits = {"text": str, "bool": bool}.get(term.kind, int | float)
            is_wrong_bool = isinstance(value, bool) and term.kind != "bool"
            if term.kind == "other" or not isinstance(value, fits) or is_wrong_bool:
                raise self._mismatch(item, f"{_describe(term)} cannot be {value!r}")
        as_float = term.kind == "float" or float in map(type, values)
        number = pa.float64() if as_float else pa.int64()
        kind = {"text": pa.string(), "bool": pa.bool_()}.get(term.kind, number)
        expression = term.as_float() if as_float else term.expression
        if as_float and 0 in values:
            values += [0.0, -0.0]  # equal numbers, but two keys of Arrow's hash table
        missing = expression.is_null(nan_is_null=True)
        return pc.if_else(missing, _UNKNOWN, expression.isin(pa.array(values, kind)))

    def _value(self, node: ast.expr) -> str | int | float | bool:
        """One literal value of a list."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -self._finite(node, value)
            case ast.Constant(value=str() | bool() as value):
                return value
            case ast.Constant(value=int() | float() as value):
                return self._finite(node, value)
        raise self._not_allowed(node, "the list after `in` can only hold literals", "list numbers or texts")

    def _column(self, node: ast.expr, name: str) -> _Term:
        if name not in self.schema.names:
            raise self._unknown_column(node, name)
        kind = self.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        field = pc.field(name)
        if pa.types.is_boolean(kind):
            return _Term(field, "bool")
        if pa.types.is_integer(kind):
            return _Term(field.cast(pa.int64()) if kind != pa.int64() else field, "int")
        if pa.types.is_floating(kind):
            return _Term(field.cast(pa.float64()) if kind != pa.float64() else field, "float")
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _Term(field.cast(pa.string()) if kind != pa.string() else field, "text")
        return _Term(field, "other")

    def _unknown_column(self, node: ast.expr, name: str, *, is_text: bool = False) -> UnknownColumn:
        """The error of a name that is no column; `is_text` if it is compared with a text."""
        quotes = f"a text needs quotes: {name!r}" if is_text else ""
        hints = filter(None, (quotes, suggest_names(name, self.schema.names)))
        remedy = ", or ".join(hints) or f"the columns: {join_names(self.schema.names)}"
        return UnknownColumn(f"there is no column {name!r} here", where=self._position(node), remedy=remedy)

    def _number(self, node: ast.expr, value: int | float) -> _Term:
        self._finite(node, value)
        return _Term(pc.scalar(value), "int" if isinstance(value, int) else "float")

    def _finite(self, node: ast.expr, value: int | float) -> int | float:
        if (isinstance(value, int) and value not in _INT64) or not math.isfinite(value):
            raise self._not_allowed(node, "this number is too large", "use a number that fits into 64 bits")
        return value

    def _bool(self, node: ast.expr) -> pc.Expression:
        term = self.build(node)
        if term.kind != "bool":
            raise self._mismatch(node, f"`and`, `or`, `not` need true or false; this is {_describe(term)}")
        return term.expression

    def _float(self, node: ast.expr) -> pc.Expression:
        term = self.build(node)
        if not term.is_number:
            raise self._mismatch(node, f"arithmetic needs numbers, but this is {_describe(term)}")
        return term.as_float()

    def _not_allowed(self, node: ast.expr, what: str = "", remedy: str = "") -> InvalidPredicate:
        message = what or "this is not allowed in a predicate"
        allowed = "allowed are: and or not, < <= == != >= >, in, is None, + - * /, numbers, text, columns"
        return InvalidPredicate(message, where=self._position(node), remedy=remedy or allowed)

    def _mismatch(self, node: ast.expr, what: str) -> InvalidPredicate:
        return InvalidPredicate(
            what, where=self._position(node), remedy="compare numbers with numbers and text with text"
        )

    def _position(self, node: ast.expr) -> str:
        """The line with a mark below `node`. Syntax trees give positions in UTF-8 bytes."""
        data = self.line.encode()
        start = len(data[: node.col_offset].decode())
        return mark_position(self.line, start, len(data[node.col_offset : node.end_col_offset].decode()))


def _describe(term: _Term) -> str:
    names = {"int": "a number", "float": "a number", "text": "text", "bool": "true or false"}
    return names.get(term.kind, "a column that is neither number, text nor true-or-false")
