"""Predicates: Arrow agrees with a slow row-by-row evaluation, and errors mark their position."""

import math
import pickle
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import InvalidPredicate, ManifestError, UnknownColumn
from manifests.predicate import evaluate, names_in, parse

SCHEMA = pa.schema(
    [
        ("motion_mean", pa.float64()), ("light", pa.float32()), ("frames", pa.int64()), ("small", pa.int8()),
        ("has_text", pa.bool_()), ("codec", pa.string()), ("caption", pa.large_string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())), ("embedding", pa.list_(pa.float32())),
    ]
)  # fmt: skip


def table(**columns: list[Any]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table({f.name: pa.array(columns.get(f.name, [None] * rows), f.type) for f in SCHEMA}, SCHEMA)


def one(text: str, **values: Any) -> bool | None:
    (answer,) = evaluate(text, table(**{k: [v] for k, v in values.items()})).to_pylist()
    return answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "values", "answer"),
    [
        ("motion_mean > 0.4 and not has_text", {"motion_mean": 0.5, "has_text": False}, True),
        ("motion_mean > 0.4 and not has_text", {"motion_mean": 0.5, "has_text": True}, False),
        ("motion_mean > 0.4 and not has_text", {"motion_mean": 0.4, "has_text": False}, False),
        ("motion_mean > 0.4 and not has_text", {"motion_mean": None, "has_text": False}, None),
        ("motion_mean > 0.4 and not has_text", {"motion_mean": None, "has_text": True}, False),
        ("motion_mean > 0.4 or has_text", {"motion_mean": None, "has_text": True}, True),
        ("motion_mean > 0.4 or has_text", {"motion_mean": None, "has_text": False}, None),
        ("not motion_mean > 0.4", {"motion_mean": None}, None),
        ("not motion_mean > 0.4", {"motion_mean": math.nan}, None),
        ("motion_mean != 1", {"motion_mean": math.nan}, None),
        ("motion_mean > 1", {"motion_mean": math.inf}, True),
        ("motion_mean is None", {"motion_mean": None}, True),
        ("motion_mean is None", {"motion_mean": math.nan}, True),
        ("motion_mean is not None", {"motion_mean": 0.0}, True),
        ("motion_mean is None or motion_mean > 3", {"motion_mean": 2.0}, False),
        ("embedding is None", {"embedding": [1.0]}, False),
        ("2 <= frames < 5", {"frames": 2}, True),
        ("2 <= frames < 5", {"frames": 5}, False),
        ("1 < frames < motion_mean < 9", {"frames": 3, "motion_mean": 4.0}, True),
        ("frames > 0.5", {"frames": 2**60 + 1}, True),
        ("frames > 16777217.5", {"frames": 16777217}, False),
        ("frames == 9007199254740993", {"frames": 9007199254740992}, False),
        ("frames == -9223372036854775808", {"frames": -(2**63)}, True),
        ("small * 100 == 12700", {"small": 127}, True),
        ("small - 1 < -128.5", {"small": -128}, True),
        ("frames / 2 == 1.5", {"frames": 3}, True),
        ("frames / 0 > 1", {"frames": 3}, None),
        ("motion_mean / 0 > 1 or frames > 1", {"motion_mean": 0.0, "frames": 3}, True),
        ("frames * frames * frames > 1e40", {"frames": 2**62}, True),
        ("-motion_mean < -(1 + 2) * 2", {"motion_mean": 7.0}, True),
        ("light == 0.5", {"light": 0.5}, True),
        ("codec == 'h264' and caption == 'é'", {"codec": "h264", "caption": "é"}, True),
        ("codec in ('h264', 'av1')", {"codec": "av1"}, True),
        ("codec not in ['h264', 'av1']", {"codec": "av1"}, False),
        ("codec not in ('h264',)", {"codec": None}, None),
        ("kind in {'a', 'b'}", {"kind": "b"}, True),
        ("kind == 'a'", {"kind": "b"}, False),
        ("frames in (1, 2.5)", {"frames": 1}, True),
        ("frames in (1, 2.5)", {"frames": 2}, False),
        ("frames in (-1, 7)", {"frames": -1}, True),
        ("motion_mean in (1, 2)", {"motion_mean": 2.0}, True),
        ("motion_mean not in (1, 2)", {"motion_mean": math.nan}, None),
        ("motion_mean in (0, 2)", {"motion_mean": -0.0}, True),
        ("motion_mean in (0, 2)", {"motion_mean": 0.0}, True),
        ("motion_mean not in (-0.0, 2.5)", {"motion_mean": 0.0}, False),
        ("frames in (-0.0, 2.5)", {"frames": 0}, True),
        ("has_text in (True,)", {"has_text": True}, True),
        ("has_text == (frames > 2)", {"has_text": True, "frames": 3}, True),
        ("codec < 'i'", {"codec": "h264"}, True),
        ("codec == 'it''s'", {"codec": "its"}, True),
        ("has_text\n  or\tframes > 2", {"has_text": False, "frames": 3}, True),
        ("True and has_text", {"has_text": True}, True),
        (" has_text ", {"has_text": True}, True),
        ("(has_text)", {"has_text": None}, None),
    ],
)  # fmt: skip
def test_the_result_is_true_false_or_unknown(text: str, values: dict[str, Any], answer: bool | None) -> None:
    assert one(text, **values) is answer


COLUMNS = {"a": float, "b": float, "n": int, "p": bool, "q": bool}
NUMBER = st.sampled_from(["a", "b", "n", "0", "1", "-2", "0.5"])
SUM = st.builds(lambda x, op, y: f"({x} {op} {y})", NUMBER, st.sampled_from("+-*/"), NUMBER) | NUMBER
COMPARISON = st.builds(
    lambda x, op, y: f"{x} {op} {y}", SUM, st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]), SUM
)
CHAINED = st.builds(lambda x, y, z: f"{x} < {y} <= {z}", SUM, SUM, SUM)
IS_NONE = st.builds(
    lambda x, w: f"{x} {w} None", st.sampled_from([*COLUMNS]), st.sampled_from(["is", "is not"])
)
MEMBERSHIP = st.builds(lambda x, w: f"{x} {w} (0, 0.5, -2)", SUM, st.sampled_from(["in", "not in"]))
PREDICATE = st.recursive(
    COMPARISON | CHAINED | IS_NONE | MEMBERSHIP | st.sampled_from(["p", "q", "True", "False"]),
    lambda inner: (
        st.builds(lambda x, op, y: f"({x} {op} {y})", inner, st.sampled_from(["and", "or"]), inner)
        | inner.map(lambda x: f"not ({x})")
    ),
    max_leaves=8,
)
ROW = st.fixed_dictionaries(
    {
        "a": st.none() | st.sampled_from([0.0, 0.5, 1.0, -2.0, math.nan]), "b": st.none() | st.floats(-3, 3),
        "n": st.none() | st.integers(-3, 3), "p": st.none() | st.booleans(), "q": st.none() | st.booleans(),
    }
)  # fmt: skip


class Unknown:
    """A slow evaluation: Python's own operators on values that may be unknown, with Kleene's logic."""

    def __init__(self, value: Any) -> None:
        missing = isinstance(value, float) and math.isnan(value)
        self.value = None if missing else value

    def _with(self, other: "Unknown", do: Any) -> "Unknown":
        if self.value is None or other.value is None:
            return Unknown(None)
        try:
            return Unknown(do(float(self.value), float(other.value)))
        except ZeroDivisionError:
            return Unknown(None)


def slowly(text: str, row: dict[str, Any]) -> bool | None:
    import ast
    import operator as op

    do = {
        ast.Add: op.add, ast.Sub: op.sub, ast.Mult: op.mul, ast.Div: op.truediv,
        ast.Lt: op.lt, ast.LtE: op.le, ast.Eq: op.eq, ast.NotEq: op.ne, ast.GtE: op.ge, ast.Gt: op.gt,
    }  # fmt: skip

    def all_of(parts: list[Unknown]) -> Unknown:
        values = [part.value for part in parts]
        return Unknown(False if False in values else None if None in values else True)

    def negated(part: Unknown) -> Unknown:
        return Unknown(None if part.value is None else not part.value)

    def pair(left: ast.expr, how: ast.cmpop, right: ast.expr) -> Unknown:
        one = read(left)
        if isinstance(how, ast.Is | ast.IsNot):
            return Unknown((one.value is None) is isinstance(how, ast.Is))
        if isinstance(how, ast.In | ast.NotIn):
            values = [read(item).value for item in right.elts]  # type: ignore[attr-defined]
            found = Unknown(None if one.value is None else one.value in values)
            return found if isinstance(how, ast.In) else negated(found)
        return one._with(read(right), do[type(how)])

    def read(node: ast.expr) -> Unknown:
        match node:
            case ast.Constant(value=value):
                return Unknown(value)
            case ast.Name(id=name):
                return Unknown(row[name])
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return Unknown(0)._with(read(inner), op.sub)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return negated(read(inner))
            case ast.BinOp(left=left, op=how, right=right):
                return read(left)._with(read(right), do[type(how)])
            case ast.BoolOp(op=ast.And(), values=parts):
                return all_of([read(part) for part in parts])
            case ast.BoolOp(op=ast.Or(), values=parts):
                return negated(all_of([negated(read(part)) for part in parts]))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return all_of([pair(*each) for each in zip((left, *rest), ops, rest, strict=False)])
        raise AssertionError(ast.dump(node))

    return read(ast.parse(text, mode="eval").body).value  # type: ignore[no-any-return]


@settings(max_examples=250, deadline=None)
@given(PREDICATE, st.lists(ROW, max_size=8))
def test_arrow_agrees_with_a_slow_evaluation(text: str, rows: list[dict[str, Any]]) -> None:
    types = {float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    made = pa.table({name: pa.array([r[name] for r in rows], types[kind]) for name, kind in COLUMNS.items()})
    if not names_in(text):
        return
    assert evaluate(text, made).to_pylist() == [slowly(text, row) for row in rows]


@pytest.mark.parametrize(
    ("text", "kind", "message", "mark"),
    [
        ("motion_maen > 1", UnknownColumn, "did you mean 'motion_mean'?", (0, 11)),
        ("frames > 1 and has_txt", UnknownColumn, "did you mean 'has_text'?", (15, 7)),
        ("codec == 'é' and qqq > 1", UnknownColumn, "the columns: motion_mean, light", (17, 3)),
        ("codec == h264", UnknownColumn, "a text needs quotes: 'h264'", (9, 4)),
        ("h264 == codec", UnknownColumn, "a text needs quotes: 'h264'", (0, 4)),
        ("codec == codex", UnknownColumn, "quotes: 'codex', or did you mean 'codec'?", (9, 5)),
        ("frames == h264", UnknownColumn, "remedy: the columns: ", (10, 4)),
        ("text", UnknownColumn, "did you mean 'has_text'?", (0, 4)),
        ("codec > 3", InvalidPredicate, "text is compared with a number", (8, 1)),
        ("frames == 'x'", InvalidPredicate, "a number is compared with text", (10, 3)),
        ("has_text > 1", InvalidPredicate, "true or false is compared with a number", (11, 1)),
        ("has_text < has_text", InvalidPredicate, "have no order", (11, 8)),
        ("embedding == 1", InvalidPredicate, "neither number, text nor true-or-false", (13, 1)),
        ("frames", InvalidPredicate, "must be true or false", (0, 6)),
        ("frames and has_text", InvalidPredicate, "this is a number", (0, 6)),
        ("not codec", InvalidPredicate, "this is text", (4, 5)),
        ("codec + 1 > 2", InvalidPredicate, "arithmetic needs numbers, but this is text", (0, 5)),
        ("has_text + 1 > 2", InvalidPredicate, "arithmetic needs numbers, but this is true or false", (0, 8)),
        ("codec in ('a', 1)", InvalidPredicate, "text cannot be 1", (15, 1)),
        ("frames in (True,)", InvalidPredicate, "a number cannot be True", (11, 4)),
        ("embedding in (1,)", InvalidPredicate, "cannot be 1", (14, 1)),
        ("codec in 'h264'", InvalidPredicate, "`in` needs a list", (9, 6)),
        ("codec in codec", InvalidPredicate, "`in` needs a list", (9, 5)),
        ("codec in ()", InvalidPredicate, "`in` needs a list", (9, 2)),
        ("codec in (caption,)", InvalidPredicate, "only hold literals", (10, 7)),
        ("codec == None", InvalidPredicate, "write `is None`", (9, 4)),
        ("codec in (None,)", InvalidPredicate, "only hold literals", (10, 4)),
        ("has_text is True", InvalidPredicate, "`is` works only with None", (12, 4)),
        ("frames % 2 == 0", InvalidPredicate, "not allowed", (0, 10)),
        ("frames ** 2 > 1", InvalidPredicate, "not allowed", (0, 11)),
        ("abs(frames) > 1", InvalidPredicate, "not allowed", (0, 11)),
        ("codec.upper == 'X'", InvalidPredicate, "not allowed", (0, 11)),
        ("codec[0] == 'x'", InvalidPredicate, "not allowed", (0, 8)),
        ("(lambda: 1) == 1", InvalidPredicate, "not allowed", (1, 9)),
        ("(x := 1) == 1", InvalidPredicate, "not allowed", (1, 6)),
        ("[1 for x in codec] == 1", InvalidPredicate, "not allowed", (0, 18)),
        ("frames > 1 if has_text else has_text", InvalidPredicate, "not allowed", (0, 36)),
        ("f'{codec}' == 'x'", InvalidPredicate, "not allowed", (0, 10)),
        ("codec == b'x'", InvalidPredicate, "not allowed", (9, 4)),
        ("frames > 1j", InvalidPredicate, "not allowed", (9, 2)),
        ("frames > 1e999", InvalidPredicate, "too large", (9, 5)),
        ("frames > 9223372036854775808", InvalidPredicate, "too large", (9, 19)),
        ("frames > ", InvalidPredicate, "not a predicate", None),
        ("frames > 1 has_text", InvalidPredicate, "not a predicate", None),
        ("frames = 1", InvalidPredicate, "not a predicate", None),
        ("frames > 1; has_text", InvalidPredicate, "not a predicate", None),
        ("frames > 1) or (has_text", InvalidPredicate, "not a predicate", None),
        ("", InvalidPredicate, "not a predicate", None),
        ("frames > 1\0", InvalidPredicate, "not a predicate", None),
        ("(" * 300 + "has_text" + ")" * 300, InvalidPredicate, "not a predicate", None),
        ("not " * 5000 + "has_text", InvalidPredicate, "not a predicate|the maximum is 400", None),
        ("1 < 2", InvalidPredicate, "names no column", None),
    ],
)  # fmt: skip
def test_errors_have_a_message_and_a_mark(
    text: str, kind: type[ManifestError], message: str, mark: tuple[int, int] | None
) -> None:
    with pytest.raises(kind) as error:
        parse(text, SCHEMA)
    shown = str(error.value)
    assert any(part in shown for part in message.split("|")), shown
    assert error.value.exit_code == 2
    assert len(shown.splitlines()) <= 6
    assert max(map(len, shown.splitlines())) < 200
    if mark:
        line, under = error.value.where.splitlines()
        shift = len("  where:  ")
        assert line == text
        assert (under.index("^") - shift, under.count("^")) == mark


def test_an_error_in_a_long_line_is_visible() -> None:
    long = " and ".join(["frames > 1"] * 40) + " and nope > 1"
    with pytest.raises(UnknownColumn) as error:
        parse(long, SCHEMA)
    line, mark = error.value.where.splitlines()
    assert len(line) < 110
    assert line[mark.index("^") - 10 :].startswith("nope")


def test_a_predicate_of_any_length_gives_a_result_or_an_error() -> None:
    """Arrow walks expressions by recursion; a thread of a worker has a small stack."""
    code = """
import threading
import pyarrow as pa
from manifests.errors import InvalidPredicate
from manifests.predicate import evaluate

def ask(text):
    try:
        print(evaluate(text, pa.table({"m": [0.5], "b": [True]})).to_pylist())
    except InvalidPredicate:
        print("refused")

def ask_all():
    for n in (100, 6000):
        ask(" and ".join(["m > 0.4"] * n))
        ask("+".join(["m"] * n) + " > 0")
        ask("not " * n + "b")
        ask("-" * n + "m < 9")
        ask(" or ".join(["m in (1, 2)"] * n))
        ask("<".join(["m"] * n))

threading.stack_size(1 << 20)
one = threading.Thread(target=ask_all)
one.start()
one.join()
ask(f"m in ({', '.join(map(str, range(5000)))}, 0.5)")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    results = run.stdout.split()
    assert results == ["[True]"] * 4 + ["[False]"] * 2 + ["refused"] * 6 + ["[True]"]


def test_names_are_listed_once_in_the_order_written() -> None:
    assert names_in("b > 1 and (a < b or not c) and a in (1, 2)") == ("b", "a", "c")
    assert names_in("é > 1 and b > é") == ("é", "b")
    with pytest.raises(InvalidPredicate):
        names_in("a >")


def test_an_expression_can_be_pickled_and_filters_files(tmp_path: Any) -> None:
    rows = table(motion_mean=[0.1, 0.5, None, 0.9], has_text=[False, False, False, True])
    ds.write_dataset(rows, tmp_path, format="parquet")
    made = pickle.loads(pickle.dumps(parse("motion_mean > 0.4 and not has_text", SCHEMA)))  # noqa: S301
    assert ds.dataset(tmp_path).to_table(filter=made)["motion_mean"].to_pylist() == [0.5]


def test_the_answer_has_one_value_per_row_in_order_for_any_chunks() -> None:
    parts = [table(frames=list(range(start, start + 70_000))) for start in range(0, 210_000, 70_000)]
    answer = evaluate("frames / 3 > 100", pa.concat_tables([*parts, table(frames=[None])]))
    assert isinstance(answer, pa.BooleanArray)
    assert answer.to_pylist() == [n / 3 > 100 for n in range(210_000)] + [None]
    assert evaluate("frames > 1", table(frames=[])).to_pylist() == []


def test_only_the_named_columns_are_needed() -> None:
    assert evaluate("n > 1", pa.table({"n": [1, 2]})).to_pylist() == [False, True]
