"""Tests of the checks that building a DAG makes before anything runs."""

from collections.abc import Iterator, Sequence

import pytest
from toys import Learn, Number, Numbers, Split, Square, Sum

from manifests import Row, column
from manifests.errors import SchemaMismatch, UnknownColumn
from pipeline import Annotate, Dag, Expand, Needs, Rows, Source
from pipeline.errors import PlanError


class Typo(Row):
    sqare: int


class Nothing(Row):
    nothing: int = column("nothing")


class ReadsTypo(Annotate[Typo, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class RequiredHalf(Row):
    half: float


class ReadsHalf(Annotate[RequiredHalf, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class SquareAsText(Row):
    square: str


class ReadsText(Annotate[SquareAsText, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class OtherSquare(Row):
    square: int = column("another square")


class AddsSquare(Annotate[Number, OtherSquare]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class WithoutId(Row):
    n: int = column("a number")


class NoIds(Source[WithoutId]):
    def rows(self) -> Iterator[WithoutId]:
        return iter(())


class Unsupported(Row):
    value: dict = column("an unsupported type")


class AddsUnsupported(Annotate[Number, Unsupported]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class Own(Row):
    own_column: int = column("a column that only this file adds")


class AddsOwn(Annotate[Number, Own]):
    def annotate(self, rows: Sequence[Row]) -> list[Own]:
        return []


class ReadsOwn(Row):
    own_column: int


class ExpandsOwn(Expand[ReadsOwn, Nothing]):
    def expand(self, row: ReadsOwn) -> Iterator[Nothing]:
        return iter(())


def squares() -> tuple[Dag, Rows]:
    dag = Dag("toy")
    return dag, dag.read(Numbers()).annotate(Square())


def test_a_missing_column_error_names_the_closest_column() -> None:
    _, rows = squares()
    with pytest.raises(PlanError) as error:
        rows.annotate(ReadsTypo())
    assert "reads sqare, which no earlier step adds" in error.value.what
    assert "reads_typo" in error.value.where
    assert "'square'" in error.value.remedy


def test_a_rule_on_an_unknown_column_names_the_closest_column() -> None:
    _, rows = squares()
    with pytest.raises(UnknownColumn, match="square"):
        rows.keep("sqare > 1", because="typo")


def test_a_missing_column_error_names_the_stage_that_adds_it() -> None:
    """Of the package `stages`, which is parsed and not imported, and of own stages."""
    _, rows = squares()
    for name, stage in (
        ("motion_mean", ".annotate(MeasureMotion("),
        ("duplicate_of", ".survey(FindDuplicates("),
    ):
        with pytest.raises(UnknownColumn) as error:
            rows.keep(f"{name} > 1", because="missing")
        assert f"{name} is added by {stage.split('(')[1]}: put {stage}…)) before" in error.value.remedy
    with pytest.raises(UnknownColumn, match="did you mean 'motion_mean'\\? It is added by MeasureMotion"):
        rows.keep("motion_maen > 1", because="typo")
    with pytest.raises(PlanError) as plan_error:
        Dag("toy").read(Numbers()).expand(ExpandsOwn())
    assert "own_column is added by AddsOwn: put .annotate(AddsOwn(" in plan_error.value.remedy


def test_two_steps_that_add_the_same_column_are_named() -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match="two steps add the column 'square': square and adds_square"):
        rows.annotate(AddsSquare())


def test_two_branches_cannot_add_the_same_column() -> None:
    dag = Dag("toy")
    numbers = dag.read(Numbers())
    with pytest.raises(PlanError, match="two steps add the column"):
        numbers.annotate(Square(), AddsSquare())


@pytest.mark.parametrize("stage", [ReadsHalf(), ReadsText()], ids=["may be missing", "other type"])
def test_a_column_must_be_read_with_its_type(stage: ReadsHalf | ReadsText) -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match="but square adds it as"):
        rows.annotate(stage)


def test_rows_of_different_tables_cannot_be_joined() -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match="different tables: numbers, split"):
        rows.join(rows.expand(Split()))


def test_two_steps_cannot_have_the_same_name() -> None:
    dag, rows = squares()
    kept = rows.keep("n > 1", because="small")
    with pytest.raises(PlanError, match="two steps are named 'small'"):
        kept.keep("n > 2", because="small")
    with pytest.raises(PlanError, match="two steps are named 'square'"):
        dag.read(Numbers().on(name="others")).annotate(Square())
    assert dag.read(Numbers().on(name="more")).annotate(Square().on(name="square_of_more")).heads == (
        "square_of_more",
    )


@pytest.mark.parametrize(
    ("where", "because", "message"),
    [("n > 1", "  ", "no reason"), ("1 > 0", "always", "reads no column")],
)
def test_a_rule_needs_a_reason_and_a_column(where: str, because: str, message: str) -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match=message):
        rows.keep(where, because=because)


@pytest.mark.parametrize(
    ("because", "name"),
    [("no motion", "no_motion"), ("3 faces!", "rule_3_faces"), ("Über-dark", "ber_dark")],
)
def test_a_rule_is_named_by_its_reason(because: str, name: str) -> None:
    _, rows = squares()
    assert rows.keep("n > 1", because=because).heads == (name,)


def test_names_are_lower_snake_case() -> None:
    dag, rows = squares()
    with pytest.raises(PlanError, match="lower_snake_case"):
        dag.save(rows, "../up")
    with pytest.raises(PlanError, match="lower_snake_case"):
        dag.read(Numbers().on(name="Not-This"))


def test_two_outputs_cannot_have_the_same_name() -> None:
    dag, rows = squares()
    dag.save(rows, "all")
    with pytest.raises(PlanError, match="two outputs"):
        dag.save(rows, "all")


def test_a_source_declares_ids_and_comes_first() -> None:
    dag, rows = squares()
    with pytest.raises(PlanError, match="have no column `id: str`"):
        dag.read(NoIds())
    with pytest.raises(PlanError, match="cannot be used here"):
        rows.annotate(Numbers().on(name="second"))
    with pytest.raises(PlanError, match="cannot be used here"):
        Dag("other").add(Square(), ())


def test_a_part_has_no_negative_number_of_rows() -> None:
    with pytest.raises(PlanError, match="rows_per_part"):
        Dag("toy").read(Numbers(), rows_per_part=-1)


def test_an_unsupported_column_type_is_an_error() -> None:
    _, rows = squares()
    with pytest.raises(SchemaMismatch, match="value"):
        rows.annotate(AddsUnsupported())


def test_children_can_read_the_columns_of_their_parents_and_a_model_has_its_own() -> None:
    _, rows = squares()
    pieces = rows.expand(Split())
    assert set(pieces.schema.names) == {"id", "parent", "n", "square", "half", "text", "start", "length"}
    assert pieces.base == "split"
    assert pieces.parents == "numbers"
    model = pieces.survey(Sum()).launch(Learn())
    assert model.schema.names == ["id", "weight", "ranks"]
    assert model.parents == ""


def test_stages_of_one_annotate_call_have_the_same_inputs() -> None:
    dag = Dag("toy")
    both = dag.read(Numbers()).annotate(Square(), ReadsNumber())
    assert dag.nodes["square"].inputs == dag.nodes["reads_number"].inputs == ("numbers",)
    assert both.heads == ("square", "reads_number")
    assert {"square", "nothing"} <= set(both.schema.names)


class ReadsNumber(Annotate[Number, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


def test_needs_are_set_for_one_step_only() -> None:
    dag = Dag("toy")
    dag.read(Numbers()).annotate(Square().on(gpus=0.5, batch=7))
    assert dag.nodes["square"].needs == Needs(gpus=0.5, batch=7)
    assert Square.needs == Needs(batch=2)
