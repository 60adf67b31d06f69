"""Ids: the same content gives the same id in every process, other content another one."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.identity import ID_DIGITS, child_id, child_ids, digest_of, id_of, shuffle_key

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
parts = st.lists(
    plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(), plain, max_size=3), max_size=4
)


@given(parts)
def test_an_id_depends_on_nothing_but_its_parts(some: list[object]) -> None:
    assert id_of(*some) == id_of(*json.loads(json.dumps(some)))
    assert len(id_of(*some)) == ID_DIGITS
    assert set(id_of(*some)) <= set("0123456789abcdef")


@given(parts, parts)
def test_different_parts_give_different_ids(one: list[object], two: list[object]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (digest_of(*one) == digest_of(*two)) is same


@given(st.lists(st.tuples(st.text(), plain, st.integers(), st.lists(plain, max_size=2)), max_size=6))
def test_the_ids_of_many_children_are_those_of_each(rows: list[tuple[str, object, int, object]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], []]
    assert child_ids(*columns) == [child_id(*row) for row in rows]  # type: ignore[arg-type]


def test_ids_are_the_same_in_another_process_and_from_now_on() -> None:
    """The ids of stored tables must never change; these were printed when the format was defined."""
    expressions = (
        "id_of('video', 3, 0.1, ['a', None, True]), child_id('ab', 'x', 7), shuffle_key('ab', 'salt')"
    )
    code = f"from manifests.identity import *; print(*({expressions}))"
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert run.stdout.split() == ["8099cdafcc863c744ae6", "e8ae71572c273c26f8a2", "12543794281454383351"]


def test_a_mapping_has_no_order_and_bytes_differ_from_text() -> None:
    assert id_of({"a": 1, "b": 2}) == id_of({"b": 2, "a": 1})
    assert id_of(frozenset({"x", "y", "z"})) == id_of(frozenset({"z", "y", "x"}))
    assert id_of(b"ab") == id_of(bytes(bytearray(b"ab")))
    assert len({id_of(v) for v in ("1", 1, 1.0, True, b"1", None, "", 0.0, -0.0)}) == 9


def test_a_part_is_not_glued_to_the_next() -> None:
    assert len({id_of("ab", "c"), id_of("a", "bc"), id_of("abc"), id_of(["ab", "c"])}) == 4
    assert len({child_id("a", "b"), child_id("a"), child_id("b", "a"), id_of("a", "b")}) == 4


@pytest.mark.parametrize("value", [object(), {1j}, print])
def test_a_value_without_a_json_form_cannot_be_part_of_an_id(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be part of an id"):
        id_of(value)


def test_names_that_are_not_unicode_have_ids() -> None:
    assert id_of("caf\udce9.mp4") != id_of("caf\udce8.mp4")


def test_the_shuffle_key_depends_on_the_salt() -> None:
    ids = [id_of(n) for n in range(2000)]
    orders = {salt: sorted(ids, key=lambda i: shuffle_key(i, salt)) for salt in ("", "a", "b")}
    assert len({tuple(order) for order in orders.values()}) == 3
    values = [shuffle_key(i) for i in ids]
    assert all(0 <= v < 2**64 for v in values)
    assert len(set(values)) == 2000
    halves = sum(v < 2**63 for v in values)
    assert 900 < halves < 1100
