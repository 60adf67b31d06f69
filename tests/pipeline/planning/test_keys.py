"""Tests of content keys and run keys: what changes them and what does not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from toys import Learn, Numbers, PieceOfSquare, Split, Square, Sum

from manifests import Row, column
from pipeline import Annotate, Dag
from pipeline.errors import PlanError
from pipeline.planning.keys import compute_keys


class Piece(Row):
    start: int


class Doubled(Row):
    doubled: int = column("twice the start")


class Double(Annotate[Piece, Doubled]):
    factor: float = 2.0

    def annotate(self, rows: Sequence[Piece]) -> list[Doubled]:
        return [Doubled(doubled=row.start * 2) for row in rows]


class Copied(Row):
    copied: int = column("the square")


class CopySquare(Annotate[PieceOfSquare, Copied]):
    def annotate(self, rows: Sequence[PieceOfSquare]) -> list[Copied]:
        return [Copied(copied=row.square) for row in rows]


def toy_dag(
    *,
    count: int = 10,
    per_part: int = 4,
    bad: int = 0,
    min_square: int = 1,
    length: int = 2,
    needs: dict[str, Any] | None = None,
    factor: float = 2.0,
    groups: int = 3,
    log_path: str = "",
    source: str = "numbers",
) -> Dag:
    dag = Dag("toy")
    squared = dag.read(Numbers(count=count).on(name=source), rows_per_part=per_part).annotate(
        Square(bad=bad, count_in=log_path).on(**(needs or {}))
    )
    kept = squared.keep(f"square > {min_square}", because="small")
    pieces = kept.expand(Split(length=length))
    annotated = pieces.annotate(Double(factor=factor), CopySquare())
    dag.save(annotated.survey(Sum(groups=groups)).launch(Learn()), "model")
    return dag


def changed_keys(**options: Any) -> tuple[set[str], set[str]]:
    """Return the steps whose run key and whose content key differ from those of the default DAG."""
    one, two = compute_keys(toy_dag()), compute_keys(toy_dag(**options))
    return (
        {name for name in one if one[name].run != two[name].run},
        {name for name in one if one[name].content != two[name].content},
    )


ALL = {"numbers", "square", "small", "split", "double", "copy_square", "sum", "learn"}
BARRIERS = {"sum", "learn"}  # their columns depend on which rows exist


def test_the_same_recipe_has_the_same_keys() -> None:
    assert changed_keys() == (set(), set())
    assert len({keys.run for keys in compute_keys(toy_dag()).values()}) == len(ALL)


@pytest.mark.parametrize(
    "needs", [{"batch": 9}, {"cpus": 3.0}, {"gpus": 1.0}, {"workers": 5}, {"retries": 0}]
)
def test_needs_are_not_hashed(needs: dict[str, Any]) -> None:
    assert changed_keys(needs=needs) == (set(), set())


def test_execution_settings_are_not_hashed() -> None:
    assert changed_keys(log_path="other.txt") == (set(), set())


def test_the_name_of_a_step_is_not_hashed() -> None:
    renamed, plain = compute_keys(toy_dag(source="others")), compute_keys(toy_dag())
    assert renamed["others"] == plain["numbers"]
    assert {n: k for n, k in renamed.items() if n != "others"} == {
        n: k for n, k in plain.items() if n != "numbers"
    }


def test_the_reason_of_a_rule_is_hashed_because_dropped_rows_store_it() -> None:
    one, two = Dag("one"), Dag("two")
    for dag, because in ((one, "small"), (two, "too small")):
        dag.read(Numbers()).keep("n > 1", because=because)
    assert compute_keys(one)["small"] != compute_keys(two)["too_small"]


def test_a_threshold_changes_later_tables_but_no_measured_column() -> None:
    run, content = changed_keys(min_square=5)
    assert run == ALL - {"numbers", "square"}
    assert content == {"small"} | BARRIERS


def test_a_setting_of_an_expansion_keeps_measurements_of_its_children_valid() -> None:
    run, content = changed_keys(length=3)
    assert run == ALL - {"numbers", "square", "small"}
    assert content == {"split"} | BARRIERS


def test_a_setting_of_a_stage_changes_the_readers_of_its_columns() -> None:
    run, content = changed_keys(bad=5)
    assert run == ALL - {"numbers"}
    assert content == {"square", "small", "copy_square"} | BARRIERS


def test_a_setting_of_a_stage_without_readers_changes_its_own_content_only() -> None:
    run, content = changed_keys(factor=3.0)
    assert run == {"double"} | BARRIERS
    assert content == {"double"} | BARRIERS


@pytest.mark.parametrize("change", [{"count": 11}, {"per_part": 5}])
def test_the_rows_and_parts_of_a_source_change_tables_but_no_column(change: dict[str, Any]) -> None:
    run, content = changed_keys(**change)
    assert run == ALL
    assert content == BARRIERS


def test_a_setting_of_a_survey_changes_it_and_the_model() -> None:
    assert changed_keys(groups=4) == (BARRIERS, BARRIERS)


def test_a_raised_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compute_keys(toy_dag())
    monkeypatch.setattr(Square, "version", 2)
    after = compute_keys(toy_dag())
    assert after["square"].content != before["square"].content
    assert after["numbers"] == before["numbers"]


def test_the_digest_of_a_stage_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compute_keys(toy_dag())
    monkeypatch.setattr(Square, "digest", lambda self: "other weights")
    assert compute_keys(toy_dag())["copy_square"].content != before["copy_square"].content


def test_the_digest_of_a_source_changes_its_table_but_not_its_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = compute_keys(toy_dag())
    monkeypatch.setattr(Numbers, "digest", lambda self: "another listing")
    after = compute_keys(toy_dag())
    assert after["numbers"].run != before["numbers"].run
    assert after["numbers"].content == before["numbers"].content
    assert after["square"].content == before["square"].content


def test_an_integer_for_a_float_setting_gives_the_key_of_the_float() -> None:
    assert Double(factor=2) == Double(factor=2.0)
    assert changed_keys(factor=2) == (set(), set())


def test_a_setting_of_another_type_is_an_error_before_anything_runs() -> None:
    with pytest.raises(PlanError, match="setting factor of Double: 'two' is not a number"):
        compute_keys(toy_dag(factor="two"))


def test_the_order_of_inputs_does_not_change_keys() -> None:
    keys = []
    for is_reversed in (False, True):
        dag = Dag("toy")
        numbers = dag.read(Numbers()).annotate(Square())
        sides = [numbers.keep("n > 1", because="small"), numbers.keep("n < 8", because="large")]
        one, two = reversed(sides) if is_reversed else sides
        one.join(two).expand(Split())
        keys.append(compute_keys(dag)["split"])
    assert keys[0] == keys[1]


def test_a_cycle_is_an_error() -> None:
    dag = toy_dag()
    dag.nodes["square"] = replace(dag.nodes["square"], inputs=("sum",))
    with pytest.raises(PlanError, match="'square' reads sum, which depends on it: the steps form a cycle"):
        compute_keys(dag)


def test_the_name_of_the_folder_contains_both_keys() -> None:
    keys = compute_keys(toy_dag())["square"]
    assert keys.folder("square") == f"square-{keys.run[:10]}-{keys.content[:10]}"
