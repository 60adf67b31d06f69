"""What every executor promises: the same tables, byte for byte, as the inline one."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from toys import Mate, Numbers, Quiet, Split, Square, Unopenable, toy_dag

from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline.dag import Dag
from pipeline.engine.schedule import Schedule
from pipeline.errors import StageFailed
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, plan_of


@pytest.fixture(scope="module", autouse=True)
def on_one_cluster() -> Iterator[None]:
    with cluster(None, 2):
        yield


def tables(store: Path) -> dict[str, bytes]:
    """Every file that is part of a table; hidden folders are work that is not."""
    found = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in found.items() if not any(x[0] == "." for x in n.split("/"))}


def plan(dag: Dag, store: Path) -> Plan:
    return plan_of(dag, FolderStore(store), "r")


def rejects(made: Plan, step: str) -> list[tuple[str, str]]:
    names = made.store.walk(f"{made[step].folder}/rejects")
    return [(r["kind"], r["reason"]) for n in names for r in read_part(made.store, n).to_pylist()]


def test_ray_equals_inline_with_one_worker_and_with_two(tmp_path: Path) -> None:
    dag = toy_dag(bad=5, worse=11, ranks=1)
    Inline().run(plan(dag, tmp_path / "inline"), Quiet())
    wanted = tables(tmp_path / "inline")
    assert len(wanted) > 40
    for workers in (1, 2):
        store = tmp_path / f"ray{workers}"
        assert OnRay(workers=workers).run(plan(dag, store), Quiet()).finished
        assert tables(store) == wanted


def test_rows_compared_on_ray_get_what_they_get_inline(tmp_path: Path) -> None:
    dag = Dag("mated")
    pieces = dag.read(Numbers(count=12), rows_per_part=3).annotate(Square()).expand(Split())
    dag.save(pieces.survey(Mate()), "pieces")
    assert Inline().run(plan(dag, tmp_path / "inline"), Quiet()).finished
    assert OnRay(workers=2).run(plan(dag, tmp_path / "ray"), Quiet()).finished
    assert tables(tmp_path / "ray") == tables(tmp_path / "inline")


def test_a_row_that_kills_its_worker_twice_is_set_aside(tmp_path: Path) -> None:
    dag = toy_dag(worst=13, count_in=str(tmp_path / "count"))
    made = plan(dag, tmp_path / "s")
    schedule = OnRay().run(made, Quiet())
    assert schedule.finished
    assert rejects(made, "square") == [("crash", "its worker died on it 2 times")]
    worked = sorted(int(n) for n in (tmp_path / "count").read_text().split())
    assert worked.count(13) == 2
    assert set(worked) == set(range(20))
    assert schedule.steps["square"].row_counts.passed == 19


def test_a_killed_worker_costs_the_rows_in_hand(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    dag = toy_dag(count=24, count_in=str(counted), wait_s=0.4)
    killed: list[int] = []

    class Killer(Quiet):
        def look(self, schedule: Schedule) -> None:  # type: ignore[override]
            if not killed and schedule.steps["square"].done:
                every = psutil.process_iter(["cmdline"])
                for process in [p for p in every if "Actor.do" in " ".join(p.info["cmdline"] or ())][:1]:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)

    schedule = OnRay().run(plan(dag, tmp_path / "s"), Killer())
    assert schedule.finished
    assert killed
    worked = [int(n) for n in counted.read_text().split()]
    assert set(worked) == set(range(24))
    assert len(worked) - 24 <= 2 * 2  # at most the batches in hand of two workers
    Inline().run(plan(toy_dag(count=24), tmp_path / "inline"), Quiet())
    assert tables(tmp_path / "s") == tables(tmp_path / "inline")


def test_two_drivers_at_once_give_one_whole_result(tmp_path: Path) -> None:
    dag = toy_dag(wait_s=0.05)
    errors: list[BaseException] = []

    def inline(name: str) -> None:
        try:
            Inline().run(plan_of(dag, FolderStore(tmp_path / "s"), name), Quiet())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=inline, args=(name,)) for name in ("a",)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    OnRay().run(plan_of(dag, FolderStore(tmp_path / "s"), "b"), Quiet())
    for thread in threads:
        thread.join()
    assert errors == []
    Inline().run(plan(toy_dag(), tmp_path / "alone"), Quiet())
    assert tables(tmp_path / "s") == tables(tmp_path / "alone")


def test_a_stage_that_cannot_be_opened_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    dag = Dag("d")
    dag.save(dag.read(Numbers(count=3)).annotate(Unopenable()), "x")
    with pytest.raises(StageFailed, match="no such weights"):
        OnRay().run(plan(dag, tmp_path), Quiet())


def test_only_what_is_ready_is_done_and_stages_overlap(tmp_path: Path) -> None:
    """Later steps work on early parts while the first step is still busy with late ones."""
    seen: list[dict[str, int]] = []

    class Looks(Quiet):
        def look(self, schedule: Schedule) -> None:  # type: ignore[override]
            seen.append({name: len(p.done) for name, p in schedule.steps.items()})

    dag = toy_dag(count=45, wait_s=0.4)
    made = plan(dag, tmp_path)
    OnRay().run(made, Looks())
    parts = len(parts_of(made.store, made["square"].folder))
    assert any(s["split"] > 0 and s["square"] < parts for s in seen)
    assert all(s["sum"] == 0 or s["split"] == parts for s in seen)  # a survey waits for all
    assert read_part(made.store, f"{made['sum'].folder}/{part_name(3)}").num_rows
