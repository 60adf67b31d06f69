"""Steps that need no worker process: rules, children from `expand_many`, and steps that no row reaches."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from toys import N, Numbers, Quiet, Split, Square, Sum, Unopenable

from manifests import Row, column
from manifests.stores.folder import FolderStore
from pipeline import Dag, Expand
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.worker import Worker
from pipeline.executors import quick_steps
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import executor
from pipeline.executors.on_ray.executor import OnRay
from pipeline.planning.plan import Plan, build_plan


class Digit(Row):
    digit: int = column("of the number, from the right", key=True)


class Digits(Expand[N, Digit]):
    """Implements `expand_many`."""

    base: int = 10
    from_store = True

    def expand(self, row: N) -> Iterator[Digit]:
        yield Digit(digit=row.n % self.base)

    def expand_many(self, rows: pa.Table) -> pa.Table:
        digits = [n % self.base for n in rows["n"].to_pylist()]
        return pa.table({"row": list(range(len(digits))), "digit": digits})


class ClusterStarted(Exception):
    """A cluster was started."""


@contextmanager
def no_cluster(address: str | None, workers: int, **_: object) -> Iterator[None]:
    raise ClusterStarted
    yield


@pytest.fixture(autouse=True)
def _without_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "cluster", no_cluster)
    monkeypatch.setattr(executor.ray, "is_initialized", lambda: False)


def plan(store: Path, minimum: int, *, base: int = 10, expensive: bool = False) -> Plan:
    dag = Dag("d")
    numbers = dag.read(Numbers(count=12), rows_per_part=5).keep(f"n >= {minimum}", because="small")
    digits = numbers.expand(Digits(base=base)).keep("digit > 1", because="low")
    dag.save(digits.annotate(Square()) if expensive else digits, "x")
    return build_plan(dag, FolderStore(store), "r")


def files(found: Plan) -> dict[str, bytes]:
    names = {step.folder for step in found}
    return {n: found.store.read(n) for n in found.store.walk() if n.partition("/")[0] in names}


def test_quick_steps_start_no_cluster(tmp_path: Path) -> None:
    Inline().run(plan(tmp_path / "a", 1), Quiet())
    Inline().run(plan(tmp_path / "b", 1), Quiet())
    for knobs in ({"minimum": 4}, {"minimum": 2, "base": 7}):
        schedule = OnRay().run(plan(tmp_path / "a", **knobs), Quiet())
        assert schedule.is_finished
        Inline().run(plan(tmp_path / "b", **knobs), Quiet())
        assert files(plan(tmp_path / "a", **knobs)) == files(plan(tmp_path / "b", **knobs))


def test_an_expensive_step_starts_a_cluster_after_the_quick_steps(tmp_path: Path) -> None:
    Inline().run(plan(tmp_path, 3), Quiet())
    changed = plan(tmp_path, 1, expensive=True)
    with pytest.raises(ClusterStarted):
        OnRay().run(changed, Quiet())
    parts_of = {
        step.name: {n for n in files(changed) if n.startswith(f"{step.folder}/part")} for step in changed
    }
    assert {name for name, parts in parts_of.items() if len(parts) == 3} == {
        "numbers",
        "small",
        "digits",
        "low",
    }
    assert not parts_of["square"]


@pytest.mark.parametrize("case", ["a fresh run", "no time", "an address"])
def test_otherwise_the_cluster_starts_first(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case != "a fresh run":
        Inline().run(plan(tmp_path, 1), Quiet())
    if case == "no time":
        monkeypatch.setattr(quick_steps, "_MAX_S", 0.0)
    changed = plan(tmp_path, 2)
    with pytest.raises(ClusterStarted):
        OnRay("somewhere" if case == "an address" else None).run(changed, Quiet())
    assert not [n for n in files(changed) if n.startswith(f"{changed['small'].folder}/part")]


@pytest.mark.parametrize("count", [12, 0])
def test_steps_that_no_row_reaches_run_in_the_driver_and_open_no_stage(count: int, tmp_path: Path) -> None:
    dag = Dag("d")
    numbers = dag.read(Numbers(count=count), rows_per_part=5)
    squares = numbers.keep("n >= 100", because="small").annotate(Square(), Unopenable())
    dag.save(squares.expand(Split()).survey(Sum()), "x")
    made = build_plan(dag, FolderStore(tmp_path), "r")
    for step in made:
        begin_table(made, step)
    schedule, worker = Schedule(made), Worker(made)
    while not schedule.steps["small"].is_complete:
        quick_steps.run_steps_without_rows(made, schedule)
        if task := schedule.take(["numbers", "small"]):
            schedule.finish(task, worker.run(task))
    quick_steps.run_steps_without_rows(made, schedule)
    assert schedule.is_finished
    assert schedule.steps["sum"].row_counts.rows_out == 0


def test_steps_with_rows_or_with_many_parts_are_left_to_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_steps, "_MAX_PARTS", 2)
    for minimum, unfinished in ((1, "square"), (100, "square")):
        made = plan(tmp_path / str(minimum), minimum, expensive=True)
        Inline().run(plan(tmp_path / str(minimum), minimum), Quiet())
        begin_table(made, made["square"])
        schedule = Schedule(made)
        quick_steps.run_steps_without_rows(made, schedule)
        assert [name for name, p in schedule.steps.items() if not p.is_complete] == [unfinished]
        assert not schedule.steps["square"].done
