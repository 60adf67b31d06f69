"""Children that a stage tells of many rows at once: the same tables as row by row, whatever goes wrong."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from toys import N, Numbers, Piece, Quiet

from manifests import Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline import Dag, Expand
from pipeline.engine.journal import Journal
from pipeline.errors import StageFailed
from pipeline.executors.inline import Inline
from pipeline.planning.plan import plan_of


class Place(Row):
    text: str = column("which child it is")


class Halve(Expand[N, Place]):
    """n % 4 children without keys; `at_once` says how many rows of a part it tells at once."""

    at_once: int = 0
    fault: str = ""
    asked_in: str = ""
    from_store = True
    place = frozenset({"at_once", "fault", "asked_in"})

    def expand(self, row: N) -> Iterator[Place]:
        if self.asked_in:
            with open(self.asked_in, "a") as file:
                file.write(f"{row.n}\n")
        for k in range(row.n % 4):
            yield Place(text=f"{row.n}.{k}")

    def expand_many(self, rows: pa.Table) -> pa.Table | None:
        if not self.at_once:
            return None
        if self.fault == "raises":
            raise ValueError("not today")
        told = [
            (i, f"{n}.{k}") for i, n in enumerate(rows["n"].to_pylist()[: self.at_once]) for k in range(n % 4)
        ]
        texts = [None if self.fault == "lacks" else text for _, text in told]
        row = pa.array([i for i, _ in told], pa.int64())
        if self.fault == "another type":
            return pa.table({"row": row, "text": list(range(len(told)))})
        return pa.table({"row": row, "text": pa.array(texts, pa.string())})


class Twice(Expand[N, Piece]):
    """Gives the same child again."""

    from_store = True

    def expand(self, row: N) -> Iterator[Piece]:
        yield Piece(start=0, length=row.n)

    def expand_many(self, rows: pa.Table) -> pa.Table:
        return pa.table({"row": [0, 0], "start": [0, 0], "length": [5, 5]})


def dag(stage: Expand[N, Row]) -> Dag:
    made = Dag("d")
    made.save(made.read(Numbers(count=10), rows_per_part=5).expand(stage.on(name="it")), "x")
    return made


def tables(store: Path, stage: Halve) -> dict[str, bytes]:
    plan = plan_of(dag(stage), FolderStore(store), "r")
    Inline().run(plan, Quiet())
    folder = plan["it"].folder
    for number in parts_of(plan.store, folder):
        name = f"{folder}/{part_name(number)}"
        row_counts = read_row_counts(plan.store, name)
        assert (row_counts.rows_in, row_counts.passed, row_counts.rejected) == (5, 5, 0)
        assert row_counts.rows_out == read_part(plan.store, name).num_rows
    return {name: plan.store.read(name) for name in plan.store.walk() if name.startswith(f"{folder}/part")}


@pytest.mark.parametrize("at_once", [1, 3, 5])
@pytest.mark.parametrize("fault", ["", "raises", "lacks", "another type"])
def test_the_tables_are_those_of_one_by_one(at_once: int, fault: str, tmp_path: Path) -> None:
    one_by_one = tables(tmp_path / "a", Halve())
    asked = tmp_path / "asked"
    assert tables(tmp_path / "b", Halve(at_once=at_once, fault=fault, asked_in=str(asked))) == one_by_one
    told = set() if fault else {n for n in range(10) if n % 5 < at_once and n % 4}
    assert set(map(int, asked.read_text().split())) == set(range(10)) - told


def test_a_part_on_which_a_worker_died_is_asked_row_by_row(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    stage = Halve(at_once=5, asked_in=str(asked))
    plan = plan_of(dag(stage), FolderStore(tmp_path / "s"), "r")
    ids = [row["id"] for row in _numbers(tmp_path / "first")][:5]
    Journal(plan.store.scratch(f"{plan['it'].folder}/{part_name(0)}"), "r").begin(ids)  # and no more is heard
    Inline().run(plan, Quiet())
    assert set(map(int, asked.read_text().split())) == {*range(5), 8}


def _numbers(store: Path) -> list[dict[str, object]]:
    plan = plan_of(dag(Halve()), FolderStore(store), "r")
    Inline().run(plan, Quiet())
    folder = plan["numbers"].folder
    return [
        row
        for k in parts_of(plan.store, folder)
        for row in read_part(plan.store, f"{folder}/{part_name(k)}").to_pylist()
    ]


def test_equal_children_stop_the_step(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="two children with equal key columns") as told:
        Inline().run(plan_of(dag(Twice()), FolderStore(tmp_path), "r"), Quiet())
    assert told.value.where == f"step it, row {id_of(0)}"
