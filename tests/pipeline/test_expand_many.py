"""Tests of expand_many: the tables equal those of expand, also after errors."""

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
from pipeline.planning.plan import build_plan


class Child(Row):
    text: str = column("number of the parent and index of the child")


class Halve(Expand[N, Child]):
    """Gives n % 4 children without keys. `expand_many` answers for the first `max_rows` rows of a part."""

    max_rows: int = 0
    fault: str = ""
    log_path: str = ""
    from_store = True
    execution_settings = frozenset({"max_rows", "fault", "log_path"})

    def expand(self, row: N) -> Iterator[Child]:
        if self.log_path:
            with open(self.log_path, "a") as file:
                file.write(f"{row.n}\n")
        for k in range(row.n % 4):
            yield Child(text=f"{row.n}.{k}")

    def expand_many(self, rows: pa.Table) -> pa.Table | None:
        if not self.max_rows:
            return None
        if self.fault == "raises":
            raise ValueError("not today")
        children = [
            (i, f"{n}.{k}")
            for i, n in enumerate(rows["n"].to_pylist()[: self.max_rows])
            for k in range(n % 4)
        ]
        texts = [None if self.fault == "lacks" else text for _, text in children]
        row = pa.array([i for i, _ in children], pa.int64())
        if self.fault == "another type":
            return pa.table({"row": row, "text": list(range(len(children)))})
        return pa.table({"row": row, "text": pa.array(texts, pa.string())})


class Twice(Expand[N, Piece]):
    """Returns the same child twice."""

    from_store = True

    def expand(self, row: N) -> Iterator[Piece]:
        yield Piece(start=0, length=row.n)

    def expand_many(self, rows: pa.Table) -> pa.Table:
        return pa.table({"row": [0, 0], "start": [0, 0], "length": [5, 5]})


def dag(stage: Expand[N, Row]) -> Dag:
    result = Dag("d")
    result.save(result.read(Numbers(count=10), rows_per_part=5).expand(stage.on(name="it")), "x")
    return result


def tables(store: Path, stage: Halve) -> dict[str, bytes]:
    plan = build_plan(dag(stage), FolderStore(store), "r")
    Inline().run(plan, Quiet())
    folder = plan["it"].folder
    for number in parts_of(plan.store, folder):
        name = f"{folder}/{part_name(number)}"
        row_counts = read_row_counts(plan.store, name)
        assert (row_counts.rows_in, row_counts.passed, row_counts.rejected) == (5, 5, 0)
        assert row_counts.rows_out == read_part(plan.store, name).num_rows
    return {name: plan.store.read(name) for name in plan.store.walk() if name.startswith(f"{folder}/part")}


@pytest.mark.parametrize("max_rows", [1, 3, 5])
@pytest.mark.parametrize("fault", ["", "raises", "lacks", "another type"])
def test_expand_many_gives_the_tables_of_expand(max_rows: int, fault: str, tmp_path: Path) -> None:
    one_by_one = tables(tmp_path / "a", Halve())
    log = tmp_path / "log"
    assert tables(tmp_path / "b", Halve(max_rows=max_rows, fault=fault, log_path=str(log))) == one_by_one
    answered = set() if fault else {n for n in range(10) if n % 5 < max_rows and n % 4}
    assert set(map(int, log.read_text().split())) == set(range(10)) - answered


def test_a_part_on_which_a_worker_died_uses_expand(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stage = Halve(max_rows=5, log_path=str(log))
    plan = build_plan(dag(stage), FolderStore(tmp_path / "s"), "r")
    ids = [row["id"] for row in _numbers(tmp_path / "first")][:5]
    Journal(plan.store.scratch(f"{plan['it'].folder}/{part_name(0)}"), "r").start(
        ids
    )  # the worker died afterwards
    Inline().run(plan, Quiet())
    assert set(map(int, log.read_text().split())) == {*range(5), 8}


def _numbers(store: Path) -> list[dict[str, object]]:
    plan = build_plan(dag(Halve()), FolderStore(store), "r")
    Inline().run(plan, Quiet())
    folder = plan["numbers"].folder
    return [
        row
        for k in parts_of(plan.store, folder)
        for row in read_part(plan.store, f"{folder}/{part_name(k)}").to_pylist()
    ]


def test_equal_children_fail_the_step(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="two children with equal key columns") as error:
        Inline().run(build_plan(dag(Twice()), FolderStore(tmp_path), "r"), Quiet())
    assert error.value.where == f"step it, row {id_of(0)}"
