"""The contract of executors: the same tables as the inline executor, byte for byte."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grouping
import psutil
import pytest
from toys import Mate, Numbers, Quiet, RaiseToPowers, Split, Square, Unopenable, toy_dag

from benchmarks.engine import two_chains
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline.dag import Dag
from pipeline.engine.schedule import Schedule
from pipeline.errors import StageFailed
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, build_plan


@pytest.fixture(scope="module", autouse=True)
def on_one_cluster() -> Iterator[None]:
    with cluster(None, 2):
        yield


def tables(store: Path) -> dict[str, bytes]:
    """The content of every file of a table, by path; hidden folders hold unfinished work."""
    found = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in found.items() if not any(x[0] == "." for x in n.split("/"))}


def make_plan(dag: Dag, store: Path) -> Plan:
    return build_plan(dag, FolderStore(store), "r")


def rejects(plan: Plan, step: str) -> list[tuple[str, str]]:
    names = plan.store.walk(f"{plan[step].folder}/rejects")
    return [(r["kind"], r["reason"]) for n in names for r in read_part(plan.store, n).to_pylist()]


@pytest.mark.parametrize(("workers", "ranks"), [(1, 0), (2, 1)])  # starting a launch takes longest
def test_ray_equals_inline_with_one_worker_and_with_two(workers: int, ranks: int, tmp_path: Path) -> None:
    dag = toy_dag(bad=5, fail_on=11, ranks=ranks)
    dag.save(dag.views["numbers"].annotate(RaiseToPowers(exponents=(2, 3))), "raised")
    Inline().run(make_plan(dag, tmp_path / "inline"), Quiet())
    expected = tables(tmp_path / "inline")
    assert len(expected) > 40
    assert OnRay(workers=workers).run(make_plan(dag, tmp_path / "ray"), Quiet()).is_finished
    assert tables(tmp_path / "ray") == expected


def test_a_comparison_on_ray_equals_inline(tmp_path: Path) -> None:
    dag = Dag("mated")
    pieces = dag.read(Numbers(count=12), rows_per_part=3).annotate(Square()).expand(Split())
    dag.save(pieces.survey(Mate()), "pieces")
    assert Inline().run(make_plan(dag, tmp_path / "inline"), Quiet()).is_finished
    assert OnRay(workers=2).run(make_plan(dag, tmp_path / "ray"), Quiet()).is_finished
    assert tables(tmp_path / "ray") == tables(tmp_path / "inline")


def test_groups_of_rows_on_ray_equal_inline(tmp_path: Path) -> None:
    dag = grouping.grouping(fail_on=1)
    assert Inline().run(make_plan(dag, tmp_path / "inline"), Quiet()).is_finished
    assert OnRay(workers=2).run(make_plan(dag, tmp_path / "ray"), Quiet()).is_finished
    assert tables(tmp_path / "ray") == tables(tmp_path / "inline")


def test_a_row_that_kills_its_worker_twice_is_rejected(tmp_path: Path) -> None:
    dag = toy_dag(crash_on=13, count_in=str(tmp_path / "count"))
    plan = make_plan(dag, tmp_path / "s")
    died: list[str] = []

    class Listener:
        def observe(self, schedule: Schedule) -> None:
            if not schedule.events.listeners:
                schedule.events.listeners.append(lambda event, _: died.append(event))

    schedule = OnRay().run(plan, Listener())
    assert schedule.is_finished
    assert died.count("worker_died") == 2  # one event for each process, whatever number of tasks it had
    assert rejects(plan, "square") == [("crash", "the worker died on this row 2 times")]
    processed = sorted(int(n) for n in (tmp_path / "count").read_text().split())
    assert processed.count(13) == 2
    assert set(processed) == set(range(20))
    assert schedule.steps["square"].row_counts.passed == 19


def test_after_a_killed_worker_only_running_batches_are_processed_again(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    dag = toy_dag(count=24, count_in=str(counted), wait_s=0.4)
    killed: list[int] = []

    class Killer(Quiet):
        def observe(self, schedule: Schedule) -> None:  # type: ignore[override]
            if not killed and schedule.steps["square"].done:
                own = psutil.Process().children(recursive=True)
                for process in [p for p in own if "Actor.run" in " ".join(p.cmdline())][:1]:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)

    schedule = OnRay().run(make_plan(dag, tmp_path / "s"), Killer())
    assert schedule.is_finished
    assert killed
    processed = [int(n) for n in counted.read_text().split()]
    assert set(processed) == set(range(24))
    assert len(processed) - 24 <= 2 * 2  # at most the running batches of two workers
    Inline().run(make_plan(toy_dag(count=24), tmp_path / "inline"), Quiet())
    assert tables(tmp_path / "s") == tables(tmp_path / "inline")


def test_two_concurrent_drivers_give_one_complete_result(tmp_path: Path) -> None:
    dag = toy_dag(wait_s=0.05)
    errors: list[BaseException] = []

    def inline(name: str) -> None:
        try:
            Inline().run(build_plan(dag, FolderStore(tmp_path / "s"), name), Quiet())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=inline, args=(name,)) for name in ("a",)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    OnRay().run(build_plan(dag, FolderStore(tmp_path / "s"), "b"), Quiet())
    for thread in threads:
        thread.join()
    assert errors == []
    Inline().run(make_plan(toy_dag(), tmp_path / "alone"), Quiet())
    assert tables(tmp_path / "s") == tables(tmp_path / "alone")


def test_a_stage_that_cannot_be_opened_stops_the_run_with_its_error(tmp_path: Path) -> None:
    dag = Dag("d")
    dag.save(dag.read(Numbers(count=3)).annotate(Unopenable()), "x")
    with pytest.raises(StageFailed, match="no such weights"):
        OnRay().run(make_plan(dag, tmp_path), Quiet())


def test_steps_overlap(tmp_path: Path) -> None:
    """Later steps process early parts while the first step still processes later ones."""
    done: list[dict[str, int]] = []

    class Recorder(Quiet):
        def observe(self, schedule: Schedule) -> None:  # type: ignore[override]
            done.append({name: len(p.done) for name, p in schedule.steps.items()})
            if schedule.steps["split"].done:
                (tmp_path / "released").touch()

    dag = toy_dag(count=20, hold_from=18, hold_until=str(tmp_path / "released"))
    plan = make_plan(dag, tmp_path / "store")
    OnRay().run(plan, Recorder())
    parts = len(parts_of(plan.store, plan["square"].folder))
    assert any(s["split"] > 0 and s["square"] < parts for s in done)
    assert all(s["sum"] == 0 or s["split"] == parts for s in done)  # a survey waits for all
    assert read_part(plan.store, f"{plan['sum'].folder}/{part_name(3)}").num_rows


@pytest.mark.slow
def test_many_parts_are_made_and_tables_closed_by_one_worker_for_each_core(tmp_path: Path) -> None:
    """300 parts through six steps without models: no process starts to close a table, or for a later step."""
    schedule = OnRay(workers=2).run(make_plan(two_chains(300), tmp_path), Quiet())
    assert [step.row_counts.passed for step in schedule.steps.values()] == [0] + [300] * 6
    assert sum(node.workers for node in schedule.nodes.values()) <= 2
