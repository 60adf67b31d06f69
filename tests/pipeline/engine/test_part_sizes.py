"""The parts of a source, and what a source that grew repeats."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toys import Quiet

from manifests import Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name
from pipeline import Annotate, Dag, Expand, Source
from pipeline.engine.steps.rowwise import part_input
from pipeline.executors.inline import Inline
from pipeline.planning.part_sizes import split_into_parts
from pipeline.planning.plan import Plan, build_plan
from pipeline.preview.forecast import forecast


class File(Row):
    id: str = column("made from the name")
    name: int = column("the name")
    size_bytes: int = column("size", unit="bytes")


class Files(Source[File]):
    first: int = 0
    last: int = 100
    size_bytes: int = 1

    def rows(self) -> Iterator[File]:
        for name in range(self.first, self.last):
            yield File(id=id_of(name), name=name, size_bytes=self.size_bytes)


class Named(Row):
    id: str
    name: int


class Half(Row):
    place: int = column("0 or 1", key=True)


class Halve(Expand[Named, Half]):
    def expand(self, row: Named) -> Iterator[Half]:
        yield from (Half(place=place) for place in range(2))


class Identified(Row):
    id: str


class Measured(Row):
    value: int = column("a number")


class Measure(Annotate[Identified, Measured]):
    def annotate(self, rows: Sequence[Identified]) -> Iterator[Measured]:
        for _ in rows:
            yield Measured(value=1)


def sizes(**settings: int) -> list[int]:
    return [len(part) for part in split_into_parts(Files(**settings).rows())]


def test_parts_grow_with_the_source_and_keep_their_rows() -> None:
    assert sizes(last=0) == []
    few, many = sizes(last=5000), sizes(last=20_000)
    assert set(few[:256]) == {16}
    assert set(few[256:-1]) == {32}
    assert many[: len(few) - 1] == few[:-1]
    assert sum(few) == 5000
    assert sizes(last=5, size_bytes=100 << 20) == [2, 2, 1]  # 256 MiB
    assert sizes(last=3, size_bytes=1 << 40) == [1, 1, 1]
    assert [len(part) for part in split_into_parts(Files(last=5).rows(), 2)] == [2, 2, 1]


def plan_of(store: FolderStore, first: int, last: int) -> Plan:
    dag = Dag("files")
    files = dag.read(Files(first=first, last=last, size_bytes=64 << 20))
    dag.save(files.expand(Halve()).annotate(Measure()), "measured")
    return build_plan(dag, store, f"{first}-{last}")


@pytest.mark.parametrize(("first", "last"), [(0, 42), (-2, 40)])
def test_a_source_that_grew_by_two_rows_repeats_no_work(tmp_path: Path, first: int, last: int) -> None:
    store = FolderStore(tmp_path)
    Inline().run(plan_of(store, 0, 40), Quiet())
    plan = plan_of(store, first, last)
    forecasts = {each.step.name: each for each in forecast(plan)}
    assert [forecasts[name].new for name in ("files", "halve")] == [2, 2]
    schedule = Inline().run(plan, Quiet())
    for name, rows in {"halve": 2, "measure": 4}.items():
        assert schedule.steps[name].work.processed == rows
        assert schedule.steps[name].work.reused == (40 * rows // 2)


def test_a_part_reads_only_the_earlier_parts_that_hold_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    old = plan_of(store, 0, 40)
    Inline().run(old, Quiet())
    plan = plan_of(store, -2, 40)
    Inline().run(plan, Quiet())
    again = plan_of(store, -2, 40)  # as seen by a worker that knows nothing yet
    opened: list[str] = []
    local = FolderStore.local

    def noted(self: FolderStore, name: str) -> object:
        opened.append(name)
        return local(self, name)

    monkeypatch.setattr(FolderStore, "local", noted)
    part_input(again, again["measure"], 5)
    read = [name for name in opened if name.startswith(old["measure"].folder)]
    assert read == [f"{old['measure'].folder}/{part_name(number)}" for number in (4, 5)]
