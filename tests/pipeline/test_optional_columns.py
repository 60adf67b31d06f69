"""A column that a stage may do without: read where a step adds it, its default where none does."""

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
from pipeline.planning.plan import Plan, plan_of


class Maybe(Row):
    n: int
    square: int | None = None


class Told(Row):
    told: str = column("what was to be read")


class Tell(Annotate[Maybe, Told]):
    """Says what it was given."""

    def annotate(self, rows: Sequence[Maybe]) -> Iterator[Told]:
        for row in rows:
            yield Told(told=f"{row.n} {row.square}")


def _told(store: Path, squared: bool) -> tuple[Plan, list[str]]:
    dag = Dag("maybe")
    rows = dag.read(Numbers(count=3))
    rows = rows.annotate(Square()) if squared else rows
    dag.save(rows.annotate(Tell()), "told")
    plan = plan_of(dag, FolderStore(store), "r")
    Inline().run(plan, Quiet())
    return plan, read_part(plan.store, f"{plan['tell'].folder}/{part_name(0)}")["told"].to_pylist()


def test_it_is_read_where_it_is_and_its_default_where_not(tmp_path: Path) -> None:
    without, said = _told(tmp_path, squared=False)
    assert sorted(said) == ["0 None", "1 None", "2 None"]
    having, said = _told(tmp_path, squared=True)
    assert sorted(said) == ["0 0", "1 1", "2 4"]
    assert without["tell"].keys.content != having["tell"].keys.content


class MaybeText(Row):
    n: int
    square: str = ""


class TellText(Annotate[MaybeText, Told]):
    """Wants another type than there is."""

    def annotate(self, rows: Sequence[MaybeText]) -> Iterator[Told]:
        yield from ()


def test_one_that_is_there_is_of_the_declared_type() -> None:
    with pytest.raises(PlanError, match="reads square as"):
        Dag("x").read(Numbers()).annotate(Square()).annotate(TellText())
