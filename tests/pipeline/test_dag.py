"""Building a DAG checks all that can be known without running it."""

from collections.abc import Iterator, Sequence

import pytest
from toys import Learn, Number, Numbers, Split, Square, Sum

from manifests import Row, column
from manifests.errors import SchemaMismatch, UnknownColumn
from pipeline import Annotate, Dag, Needs, Rows, Source
from pipeline.errors import PlanError


class Wants(Row):
    sqare: int


class Nothing(Row):
    nothing: int = column("nothing")


class WantsTypo(Annotate[Wants, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class HalfAsSure(Row):
    half: float


class WantsHalf(Annotate[HalfAsSure, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class SquareAsText(Row):
    square: str


class WantsText(Annotate[SquareAsText, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class SquareAgain(Row):
    square: int = column("another square")


class Again(Annotate[Number, SquareAgain]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


class Nameless(Row):
    n: int = column("a number")


class NoIds(Source[Nameless]):
    def rows(self) -> Iterator[Nameless]:
        return iter(())


class Odd(Row):
    made: dict = column("no column can hold it")


class AddsOdd(Annotate[Number, Odd]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


def squares() -> tuple[Dag, Rows]:
    dag = Dag("toy")
    return dag, dag.read(Numbers()).annotate(Square())


def test_a_column_that_nobody_adds_is_named_with_the_nearest_known_one() -> None:
    _, rows = squares()
    with pytest.raises(PlanError) as error:
        rows.annotate(WantsTypo())
    assert "reads sqare, which no step before it adds" in error.value.what
    assert "wants_typo" in error.value.where
    assert "'square'" in error.value.remedy


def test_a_rule_on_an_unknown_column_names_the_nearest_known_one() -> None:
    _, rows = squares()
    with pytest.raises(UnknownColumn, match="square"):
        rows.keep("sqare > 1", because="typo")


def test_two_authors_of_a_column_are_both_named() -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match="'square' has two authors: square and again"):
        rows.annotate(Again())


def test_two_authors_on_two_branches_are_found_where_they_meet() -> None:
    dag = Dag("toy")
    numbers = dag.read(Numbers())
    with pytest.raises(PlanError, match="two authors"):
        numbers.annotate(Square(), Again())


@pytest.mark.parametrize("stage", [WantsHalf(), WantsText()], ids=["may be missing", "other type"])
def test_a_column_is_read_as_the_type_it_was_added_as(stage: WantsHalf | WantsText) -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match="but square adds it as"):
        rows.annotate(stage)


def test_rows_of_different_tables_cannot_be_joined() -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match="different tables: numbers, split"):
        rows.join(rows.expand(Split()))


def test_two_steps_of_one_name_are_refused_and_a_name_mends_it() -> None:
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
    ("where", "because", "says"),
    [("n > 1", "  ", "no reason"), ("1 > 0", "always", "reads no column")],
)
def test_a_rule_needs_a_reason_and_a_column(where: str, because: str, says: str) -> None:
    _, rows = squares()
    with pytest.raises(PlanError, match=says):
        rows.keep(where, because=because)


@pytest.mark.parametrize(
    ("because", "name"),
    [("hardly moves", "hardly_moves"), ("3 faces!", "rule_3_faces"), ("Über-dark", "ber_dark")],
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


def test_an_output_name_is_given_once() -> None:
    dag, rows = squares()
    dag.save(rows, "all")
    with pytest.raises(PlanError, match="two outputs"):
        dag.save(rows, "all")


def test_a_source_declares_ids_and_stands_first() -> None:
    dag, rows = squares()
    with pytest.raises(PlanError, match="without an id"):
        dag.read(NoIds())
    with pytest.raises(PlanError, match="cannot stand here"):
        rows.annotate(Numbers().on(name="second"))
    with pytest.raises(PlanError, match="cannot stand here"):
        Dag("other").add(Square(), ())


@pytest.mark.parametrize("size", [0, -1])
def test_a_part_has_at_least_one_row(size: int) -> None:
    with pytest.raises(PlanError, match="rows_per_part"):
        Dag("toy").read(Numbers(), rows_per_part=size)


def test_a_column_type_that_parquet_cannot_hold_is_refused() -> None:
    _, rows = squares()
    with pytest.raises(SchemaMismatch, match="made"):
        rows.annotate(AddsOdd())


def test_children_see_the_columns_of_their_parents_and_a_model_none() -> None:
    _, rows = squares()
    pieces = rows.expand(Split())
    assert set(pieces.schema.names) == {"id", "parent", "n", "square", "half", "text", "start", "length"}
    assert pieces.base == "split"
    assert pieces.parents == "numbers"
    model = pieces.survey(Sum()).launch(Learn())
    assert model.schema.names == ["id", "weight", "ranks"]
    assert model.parents == ""


def test_stages_given_together_read_the_same_and_run_side_by_side() -> None:
    dag = Dag("toy")
    both = dag.read(Numbers()).annotate(Square(), WantsNumber())
    assert dag.nodes["square"].inputs == dag.nodes["wants_number"].inputs == ("numbers",)
    assert both.heads == ("square", "wants_number")
    assert {"square", "nothing"} <= set(both.schema.names)


class WantsNumber(Annotate[Number, Nothing]):
    def annotate(self, rows: Sequence[Row]) -> list[Nothing]:
        return []


def test_needs_are_set_for_one_step_only() -> None:
    dag = Dag("toy")
    dag.read(Numbers()).annotate(Square().on(gpus=0.5, batch=7))
    assert dag.nodes["square"].needs == Needs(gpus=0.5, batch=7)
    assert Square.needs == Needs(batch=2)
