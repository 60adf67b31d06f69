"""Keys: what changes them, and what does not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from toys import Learn, Numbers, PieceOfSquare, Split, Square, Sum

from manifests import Row, column
from pipeline import Annotate, Dag
from pipeline.errors import PlanError
from pipeline.planning.keys import keys_of


class Piece(Row):
    start: int


class Doubled(Row):
    doubled: int = column("twice the start")


class Double(Annotate[Piece, Doubled]):
    factor: float = 2.0

    def annotate(self, rows: Sequence[Piece]) -> list[Doubled]:
        return [Doubled(doubled=row.start * 2) for row in rows]


class Told(Row):
    told: int = column("what was told")


class TellSquare(Annotate[PieceOfSquare, Told]):
    def annotate(self, rows: Sequence[PieceOfSquare]) -> list[Told]:
        return [Told(told=row.square) for row in rows]


def toy(
    *,
    count: int = 10,
    per_part: int = 4,
    bad: int = 0,
    least: int = 1,
    length: int = 2,
    needs: dict[str, Any] | None = None,
    factor: float = 2.0,
    groups: int = 3,
    place: str = "",
    source: str = "numbers",
) -> Dag:
    dag = Dag("toy")
    squared = dag.read(Numbers(count=count).on(name=source), rows_per_part=per_part).annotate(
        Square(bad=bad, count_in=place).on(**(needs or {}))
    )
    kept = squared.keep(f"square > {least}", because="small")
    pieces = kept.expand(Split(length=length))
    told = pieces.annotate(Double(factor=factor), TellSquare())
    dag.save(told.survey(Sum(groups=groups)).launch(Learn()), "model")
    return dag


def changed(**others: Any) -> tuple[set[str], set[str]]:
    """The steps whose run key, and those whose content key, differ from the plain toy's."""
    one, two = keys_of(toy()), keys_of(toy(**others))
    return (
        {name for name in one if one[name].run != two[name].run},
        {name for name in one if one[name].content != two[name].content},
    )


ALL = {"numbers", "square", "small", "split", "double", "tell_square", "sum", "learn"}
BARRIERS = {"sum", "learn"}  # their columns depend on which rows there are


def test_the_same_recipe_has_the_same_keys() -> None:
    assert changed() == (set(), set())
    assert len({keys.run for keys in keys_of(toy()).values()}) == len(ALL)


@pytest.mark.parametrize(
    "needs", [{"batch": 9}, {"cpus": 3.0}, {"gpus": 1.0}, {"workers": 5}, {"retries": 0}]
)
def test_needs_are_not_hashed(needs: dict[str, Any]) -> None:
    assert changed(needs=needs) == (set(), set())


def test_settings_that_say_where_are_not_hashed() -> None:
    assert changed(place="elsewhere.txt") == (set(), set())


def test_a_step_s_name_is_not_hashed() -> None:
    renamed, plain = keys_of(toy(source="others")), keys_of(toy())
    assert renamed["others"] == plain["numbers"]
    assert {n: k for n, k in renamed.items() if n != "others"} == {
        n: k for n, k in plain.items() if n != "numbers"
    }


def test_the_reason_of_a_rule_is_hashed_since_dropped_rows_remember_it() -> None:
    one, two = Dag("one"), Dag("two")
    for dag, because in ((one, "small"), (two, "too small")):
        dag.read(Numbers()).keep("n > 1", because=because)
    assert keys_of(one)["small"] != keys_of(two)["too_small"]


def test_a_threshold_changes_what_stands_behind_it_and_no_measured_column() -> None:
    run, content = changed(least=5)
    assert run == ALL - {"numbers", "square"}
    assert content == {"small"} | BARRIERS


def test_an_expansion_s_setting_leaves_what_was_measured_on_a_child_valid() -> None:
    run, content = changed(length=3)
    assert run == ALL - {"numbers", "square", "small"}
    assert content == {"split"} | BARRIERS


def test_a_stage_s_setting_changes_those_who_read_its_columns() -> None:
    run, content = changed(bad=5)
    assert run == ALL - {"numbers"}
    assert content == {"square", "small", "tell_square"} | BARRIERS


def test_a_setting_that_nobody_reads_from_changes_its_own_content_only() -> None:
    run, content = changed(factor=3.0)
    assert run == {"double"} | BARRIERS
    assert content == {"double"} | BARRIERS


@pytest.mark.parametrize("change", [{"count": 11}, {"per_part": 5}])
def test_what_a_source_lists_and_how_it_is_cut_change_tables_but_no_column(change: dict[str, Any]) -> None:
    run, content = changed(**change)
    assert run == ALL
    assert content == BARRIERS


def test_a_survey_s_setting_changes_it_and_the_model() -> None:
    assert changed(groups=4) == (BARRIERS, BARRIERS)


def test_a_raised_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(toy())
    monkeypatch.setattr(Square, "version", 2)
    after = keys_of(toy())
    assert after["square"].content != before["square"].content
    assert after["numbers"] == before["numbers"]


def test_a_stage_s_digest_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(toy())
    monkeypatch.setattr(Square, "digest", lambda self: "other weights")
    assert keys_of(toy())["tell_square"].content != before["tell_square"].content


def test_a_source_s_digest_changes_its_table_but_not_what_a_row_of_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = keys_of(toy())
    monkeypatch.setattr(Numbers, "digest", lambda self: "another listing")
    after = keys_of(toy())
    assert after["numbers"].run != before["numbers"].run
    assert after["numbers"].content == before["numbers"].content
    assert after["square"].content == before["square"].content


def test_a_whole_number_for_a_float_gives_the_key_of_the_float() -> None:
    assert Double(factor=2) == Double(factor=2.0)
    assert changed(factor=2) == (set(), set())


def test_a_setting_of_another_type_is_told_before_anything_runs() -> None:
    with pytest.raises(PlanError, match="setting factor of Double: 'two' is not a number"):
        keys_of(toy(factor="two"))


def test_the_order_of_inputs_does_not_count() -> None:
    keys = []
    for turned in (False, True):
        dag = Dag("toy")
        numbers = dag.read(Numbers()).annotate(Square())
        sides = [numbers.keep("n > 1", because="small"), numbers.keep("n < 8", because="large")]
        one, two = reversed(sides) if turned else sides
        one.join(two).expand(Split())
        keys.append(keys_of(dag)["split"])
    assert keys[0] == keys[1]


def test_a_circle_is_told() -> None:
    dag = toy()
    dag.nodes["square"] = replace(dag.nodes["square"], inputs=("sum",))
    with pytest.raises(PlanError, match="'square' reads sum, which depends on it: a circle"):
        keys_of(dag)


def test_the_folder_s_name_carries_both_keys() -> None:
    keys = keys_of(toy())["square"]
    assert keys.folder("square") == f"square-{keys.run[:10]}-{keys.content[:10]}"
