"""The contract of executors for a stage that must wait: other steps continue, and no row is lost."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ringing import ringing
from toys import Quiet

from manifests.stores.folder import FolderStore
from pipeline.dag import Dag
from pipeline.engine.schedule import Schedule
from pipeline.errors import StageWaits
from pipeline.executor import Executor
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, build_plan

every_executor = pytest.mark.parametrize(
    ("executor", "raises"),
    [(Inline(), False), (Inline(), True), (OnRay(workers=2), False)],
    ids=["inline, yielded", "inline, raised", "ray, yielded"],
)


@pytest.fixture(scope="module", autouse=True)
def on_one_cluster() -> Iterator[None]:
    with cluster(None, 2):
        yield


def make_plan(dag: Dag, store: Path, run: str = "r") -> Plan:
    return build_plan(dag, FolderStore(store), run)


def tables(store: Path) -> dict[str, bytes]:
    """The content of every file of a table, by path."""
    found = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in found.items() if not any(x[0] == "." for x in n.split("/"))}


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, bytes]:
    """The tables of a run in which the service was always available."""
    (tmp_path / "always").touch()
    Inline().run(make_plan(ringing(up=str(tmp_path / "always")), tmp_path / "expected"), Quiet())
    return tables(tmp_path / "expected")


class MakesAvailable(Quiet):
    """Makes the service available after a pause, when all other work is done."""

    def __init__(self, up: Path) -> None:
        self.up = up
        self.reasons: set[str] = set()

    def observe(self, schedule: Any) -> None:
        self.reasons.update(schedule.pauses.reasons().items())
        if self.reasons and schedule.steps["square"].is_complete:
            self.up.touch()


@every_executor
def test_a_service_that_returns_during_the_run_is_called_again(
    executor: Executor, raises: bool, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    observer, counted = MakesAvailable(tmp_path / "up"), tmp_path / "count"
    dag = ringing(up=str(observer.up), raises=raises, count_in=str(counted))
    schedule = executor.run(make_plan(dag, tmp_path / "s"), observer)
    assert schedule.is_finished
    assert observer.reasons == {("ring", "nobody answers")}
    assert tables(tmp_path / "s") == expected
    if not raises:  # answered rows of a batch with a requeued row are not processed again
        assert set(Counter(counted.read_text().split()).values()) == {1}


@every_executor
def test_a_service_that_stays_unavailable_ends_the_run_and_the_next_run_continues(
    executor: Executor, raises: bool, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    dag = ringing(up=str(tmp_path / "up"), raises=raises, patience_s=0.3, count_in=str(tmp_path / "count"))
    schedules: list[Schedule] = []

    class Recorder(Quiet):
        def observe(self, schedule: Any) -> None:
            schedules.append(schedule)

    with pytest.raises(StageWaits, match="ring waits: nobody answers") as raised:
        executor.run(make_plan(dag, tmp_path / "s"), Recorder())
    assert "run again" in str(raised.value)
    assert schedules[-1].steps["square"].is_complete
    assert not schedules[-1].steps["ring"].done
    assert schedules[-1].steps["ring"].row_counts.rejected == 0
    (tmp_path / "up").touch()
    assert executor.run(make_plan(dag, tmp_path / "s", "second"), Quiet()).is_finished
    assert tables(tmp_path / "s") == expected
    if not raises:
        assert set(Counter((tmp_path / "count").read_text().split()).values()) == {1}


def test_a_row_that_was_requeued_often_is_not_a_crash(tmp_path: Path, expected: dict[str, bytes]) -> None:
    plan = make_plan(ringing(up=str(tmp_path / "up"), patience_s=0.3), tmp_path / "s")
    for _ in range(3):  # the journals see the same run
        with pytest.raises(StageWaits):
            Inline().run(plan, Quiet())
    (tmp_path / "up").touch()
    Inline().run(plan, Quiet())
    assert tables(tmp_path / "s") == expected
