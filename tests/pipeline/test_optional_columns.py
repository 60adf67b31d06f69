"""Tests of optional columns: read if an earlier step adds them, replaced by their default otherwise."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toys import Numbers, Quiet, Square

from manifests import Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Annotate, Dag
from pipeline.errors import PlanError
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan


class OptionalSquare(Row):
    n: int
    square: int | None = None


class Values(Row):
    values: str = column("the values that were read")


class ShowValues(Annotate[OptionalSquare, Values]):
    """Adds the values that it receives, as text."""

    def annotate(self, rows: Sequence[OptionalSquare]) -> Iterator[Values]:
        for row in rows:
            yield Values(values=f"{row.n} {row.square}")


def _run(store: Path, squared: bool) -> tuple[Plan, list[str]]:
    dag = Dag("optional")
    rows = dag.read(Numbers(count=3))
    rows = rows.annotate(Square()) if squared else rows
    dag.save(rows.annotate(ShowValues()), "values")
    plan = build_plan(dag, FolderStore(store), "r")
    Inline().run(plan, Quiet())
    return plan, read_part(plan.store, f"{plan['show_values'].folder}/{part_name(0)}")["values"].to_pylist()


def test_an_optional_column_is_read_if_it_exists(tmp_path: Path) -> None:
    without, values = _run(tmp_path, squared=False)
    assert sorted(values) == ["0 None", "1 None", "2 None"]
    with_square, values = _run(tmp_path, squared=True)
    assert sorted(values) == ["0 0", "1 1", "2 4"]
    assert without["show_values"].keys.content != with_square["show_values"].keys.content


class OptionalText(Row):
    n: int
    square: str = ""


class ShowText(Annotate[OptionalText, Values]):
    """Reads the column with another type."""

    def annotate(self, rows: Sequence[OptionalText]) -> Iterator[Values]:
        yield from ()


def test_an_existing_optional_column_must_have_the_declared_type() -> None:
    with pytest.raises(PlanError, match="reads square as"):
        Dag("x").read(Numbers()).annotate(Square()).annotate(ShowText())
