"""The contract of executors for Chunked stages: the same tables, whichever worker ran which piece or died."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from songs import songs, sung_in
from toys import Quiet

from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline.dag import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Task, TaskResult
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, build_plan


@pytest.fixture(scope="module", autouse=True)
def on_one_cluster() -> Iterator[None]:
    with cluster(None, 2):
        yield


def make_plan(dag: Dag, store: Path, run: str = "r") -> Plan:
    return build_plan(dag, FolderStore(store), run)


def drafts() -> list[Path]:
    """The temporary files of `Sing` that are left on this machine."""
    temporary = Path(tempfile.gettempdir())
    return [*temporary.glob("songs-*"), *temporary.glob("clipmill-*/songs-*")]


def files(store: Path) -> dict[str, bytes]:
    """The content of every file, including hidden ones, by path."""
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def rejects(plan: Plan) -> set[tuple[str, str]]:
    names = plan.store.walk(f"{plan['sing'].folder}/rejects")
    return {(r["kind"], r["reason"]) for n in names for r in read_part(plan.store, n).to_pylist()}


@pytest.mark.slow
def test_ray_equals_inline_however_rows_are_split(tmp_path: Path) -> None:
    faults = {"rejects": (5, 9), "fails_on": (9, 12), "mute": 0}
    plan = make_plan(songs(**faults), tmp_path / "inline")
    Inline().run(plan, Quiet())
    expected = files(tmp_path / "inline")
    assert rejects(plan) == {
        ("reject", "0 is mute"),
        ("reject", "verse 1 of 5 is not sung"),
        ("error", "ValueError: verse 1 of 9 fails"),
        ("error", "ValueError: verse 1 of 12 fails"),
    }
    assert f"{plan['sing'].folder}/openings/13.txt" in expected
    for workers, per_piece in ((1, 3), (2, 1)):
        store = tmp_path / f"ray{workers}{per_piece}"
        again = make_plan(songs(verses_per_piece=per_piece, **faults), store)
        assert OnRay(workers=workers).run(again, Quiet()).is_finished
        assert files(store) == expected
        assert not (store / plan["sing"].folder / "pieces").exists()
    assert drafts() == []


@pytest.mark.slow
def test_two_processes_share_the_pieces_of_one_row(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    plan = make_plan(songs(count=7, rows_per_part=7, count_in=str(counted), wait_s=0.3), tmp_path / "s")
    assert OnRay(workers=2).run(plan, Quiet()).is_finished
    sung = sung_in(counted)
    assert Counter(verse for verse, _ in sung) == Counter(f"{n}.{v}" for n in range(7) for v in range(n + 1))
    assert len({process for verse, process in sung if verse.startswith("6.")}) == 2


def test_rows_of_one_piece_are_not_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phases: list[str] = []

    def finish(schedule: Schedule, task: Task, result: TaskResult) -> None:
        phases.append(task.phase)
        finish_task(schedule, task, result)

    finish_task = Schedule.finish
    monkeypatch.setattr(Schedule, "finish", finish)
    plan = make_plan(songs(verses_per_piece=0), tmp_path / "ray")
    assert OnRay(workers=2).run(plan, Quiet()).is_finished
    assert set(phases) == {"rows", "part", "close"}
    Inline().run(make_plan(songs(), tmp_path / "inline"), Quiet())
    assert files(tmp_path / "ray") == files(tmp_path / "inline")


def test_a_piece_that_kills_its_workers_rejects_only_its_row(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    plan = make_plan(songs(crashes_on=(5,), count_in=str(counted)), tmp_path / "s")
    schedule = OnRay().run(plan, Quiet())
    assert schedule.is_finished
    assert rejects(plan) == {("crash", "the worker died on this row 2 times")}
    assert (schedule.steps["sing"].row_counts.passed, schedule.steps["sing"].row_counts.errors) == (13, 1)
    sung = Counter(verse for verse, _ in sung_in(counted))
    assert sung.pop("5.1") == 2
    assert set(sung.values()) == {1}
    table = read_part(plan.store, f"{plan['sing'].folder}/{part_name(1)}")
    assert table.column("verses").to_pylist() == [5, 7, 1]  # 4, 6 and 7
    assert drafts() == []  # each new worker has deleted what the killed one left


def test_finished_pieces_survive_a_stopped_run_and_another_split(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    dag = songs(count=7, rows_per_part=7, count_in=str(counted), wait_s=0.2)

    class Stops(Quiet):
        def observe(self, schedule: Schedule) -> None:  # type: ignore[override]
            if len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json"))) >= 8:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OnRay().run(make_plan(dag, tmp_path / "s"), Stops())
    while any(psutil.pid_exists(worker) for _, worker in sung_in(counted)):
        time.sleep(0.05)
    finished = len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json")))
    started = len(sung_in(counted))
    assert 8 <= finished < 28
    again = songs(count=7, rows_per_part=7, count_in=str(counted), verses_per_piece=4)
    Inline().run(make_plan(again, tmp_path / "s", "again"), Quiet())
    assert len(sung_in(counted)) - started == 28 - finished
    Inline().run(make_plan(songs(count=7, rows_per_part=7), tmp_path / "inline"), Quiet())
    assert files(tmp_path / "s") == files(tmp_path / "inline")


def test_pieces_of_a_killed_run_are_deleted(tmp_path: Path) -> None:
    plan = make_plan(songs(), tmp_path / "s")
    Inline().run(plan, Quiet())
    expected = files(tmp_path / "s")
    plan.store.remove(f"{plan['sing'].folder}/manifest.json")
    plan.store.create(f"{plan['sing'].folder}/pieces/part-000001/split.json", b"[]")
    OnRay().run(make_plan(songs(), tmp_path / "s"), Quiet())
    assert files(tmp_path / "s") == expected


@pytest.mark.slow
def test_after_a_kill_of_all_processes_only_running_pieces_are_processed_again(tmp_path: Path) -> None:
    """SIGKILL ends the driver, its workers and Ray. The next run processes the unfinished pieces."""
    counted, file = tmp_path / "count", Path(__file__)
    sing = {"count": 7, "rows_per_part": 7, "count_in": str(counted)}
    script = tmp_path / "driver.py"
    script.write_text(
        "from songs import songs\nfrom toys import Quiet\n"
        "from manifests.stores.folder import FolderStore\n"
        "from pipeline.executors.on_ray import OnRay\nfrom pipeline.planning.plan import build_plan\n"
        f"plan = build_plan(songs(wait_s=0.3, **{sing!r}), FolderStore({str(tmp_path / 's')!r}), 'a')\n"
        "OnRay().run(plan, Quiet())\n"
    )
    paths = os.pathsep.join(map(str, (file.parents[1] / "toys", file.parents[2])))
    driver = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": paths})
    while len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json"))) < 8:
        assert driver.poll() is None
        time.sleep(0.05)
    for process in [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]:
        process.send_signal(signal.SIGKILL)
    driver.wait()
    finished = len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json")))
    started = len(sung_in(counted))
    assert OnRay().run(make_plan(songs(**sing), tmp_path / "s", "b"), Quiet()).is_finished
    assert len(sung_in(counted)) - started == 28 - finished
    Inline().run(make_plan(songs(count=7, rows_per_part=7), tmp_path / "inline"), Quiet())
    assert files(tmp_path / "s") == files(tmp_path / "inline")
