"""What every executor promises of a stage that must wait: it goes on elsewhere, loses nothing, says so."""

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
from pipeline.planning.plan import Plan, plan_of

every_executor = pytest.mark.parametrize(
    ("executor", "raises"),
    [(Inline(), False), (Inline(), True), (OnRay(workers=2), False)],
    ids=["inline, given", "inline, raised", "ray, given"],
)


@pytest.fixture(scope="module", autouse=True)
def on_one_cluster() -> Iterator[None]:
    with cluster(None, 2):
        yield


def plan(dag: Dag, store: Path, run: str = "r") -> Plan:
    return plan_of(dag, FolderStore(store), run)


def tables(store: Path) -> dict[str, bytes]:
    """Every file that is part of a table."""
    found = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in found.items() if not any(x[0] == "." for x in n.split("/"))}


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, bytes]:
    """The tables of a run in which nothing was ever away."""
    (tmp_path / "always").touch()
    Inline().run(plan(ringing(up=str(tmp_path / "always")), tmp_path / "wanted"), Quiet())
    return tables(tmp_path / "wanted")


class Returns(Quiet):
    """Lets what was away come back once it was missed and all else is done."""

    def __init__(self, up: Path) -> None:
        self.up = up
        self.told: set[str] = set()

    def look(self, schedule: Any) -> None:
        self.told.update(schedule.pauses.told().items())
        if self.told and schedule.steps["square"].whole:
            self.up.touch()


@every_executor
def test_what_comes_back_within_the_run_is_asked_again(
    executor: Executor, raises: bool, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    watch, counted = Returns(tmp_path / "up"), tmp_path / "count"
    dag = ringing(up=str(watch.up), raises=raises, count_in=str(counted))
    schedule = executor.run(plan(dag, tmp_path / "s"), watch)
    assert schedule.finished
    assert watch.told == {("ring", "nobody answers")}
    assert tables(tmp_path / "s") == wanted
    if not raises:  # what was answered beside a row that was put back is not asked again
        assert set(Counter(counted.read_text().split()).values()) == {1}


@every_executor
def test_what_stays_away_ends_the_run_after_all_else_is_done_and_the_next_goes_on(
    executor: Executor, raises: bool, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    dag = ringing(up=str(tmp_path / "up"), raises=raises, patience_s=0.3, count_in=str(tmp_path / "count"))
    seen: list[Schedule] = []

    class Keeps(Quiet):
        def look(self, schedule: Any) -> None:
            seen.append(schedule)

    with pytest.raises(StageWaits, match="ring waits: nobody answers") as told:
        executor.run(plan(dag, tmp_path / "s"), Keeps())
    assert "run again" in str(told.value)
    assert seen[-1].steps["square"].whole
    assert not seen[-1].steps["ring"].done
    assert seen[-1].steps["ring"].row_counts.rejected == 0
    (tmp_path / "up").touch()
    assert executor.run(plan(dag, tmp_path / "s", "second"), Quiet()).finished
    assert tables(tmp_path / "s") == wanted
    if not raises:
        assert set(Counter((tmp_path / "count").read_text().split()).values()) == {1}


def test_a_row_that_was_put_back_often_is_not_one_that_kills(
    tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    made = plan(ringing(up=str(tmp_path / "up"), patience_s=0.3), tmp_path / "s")
    for _ in range(3):  # the same run, as its journals see it
        with pytest.raises(StageWaits):
            Inline().run(made, Quiet())
    (tmp_path / "up").touch()
    Inline().run(made, Quiet())
    assert tables(tmp_path / "s") == wanted
