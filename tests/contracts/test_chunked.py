"""What every executor promises of rows in pieces: the same tables, whoever took which piece and died."""

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
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, plan_of


@pytest.fixture(scope="module", autouse=True)
def on_one_cluster() -> Iterator[None]:
    with cluster(None, 2):
        yield


def plan(dag: Dag, store: Path, run: str = "r") -> Plan:
    return plan_of(dag, FolderStore(store), run)


def files(store: Path) -> dict[str, bytes]:
    """Every file, hidden ones too."""
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def rejects(made: Plan) -> set[tuple[str, str]]:
    names = made.store.walk(f"{made['sing'].folder}/rejects")
    return {(r["kind"], r["reason"]) for n in names for r in read_part(made.store, n).to_pylist()}


def test_ray_equals_inline_however_rows_are_split(tmp_path: Path) -> None:
    faults = {"refused": (5, 9), "broken": (9, 12), "mute": 0}
    made = plan(songs(**faults), tmp_path / "inline")
    Inline().run(made, Quiet())
    wanted = files(tmp_path / "inline")
    assert rejects(made) == {
        ("reject", "0 is mute"),
        ("reject", "verse 1 of 5 is not sung"),
        ("error", "ValueError: verse 1 of 9 is broken"),
        ("error", "ValueError: verse 1 of 12 is broken"),
    }
    assert f"{made['sing'].folder}/openings/13.txt" in wanted
    for workers, per_piece in ((1, 3), (2, 1)):
        store = tmp_path / f"ray{workers}{per_piece}"
        again = plan(songs(verses_per_piece=per_piece, **faults), store)
        assert OnRay(workers=workers).run(again, Quiet()).finished
        assert files(store) == wanted
        assert not (store / made["sing"].folder / "pieces").exists()
    assert list(Path(tempfile.gettempdir()).glob("songs-*")) == []


def test_the_pieces_of_one_row_are_worked_on_by_two_processes(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    made = plan(songs(count=7, rows_per_part=7, count_in=str(counted), wait_s=0.3), tmp_path / "s")
    assert OnRay(workers=2).run(made, Quiet()).finished
    sung = sung_in(counted)
    assert Counter(verse for verse, _ in sung) == Counter(f"{n}.{v}" for n in range(7) for v in range(n + 1))
    assert len({process for verse, process in sung if verse.startswith("6.")}) == 2


def test_rows_of_one_piece_are_made_as_any_others(tmp_path: Path) -> None:
    asked: list[str] = []

    class Looks(Quiet):
        def look(self, schedule: Schedule) -> None:  # type: ignore[override]
            asked.extend(task.phase for task in schedule._known)

    made = plan(songs(verses_per_piece=0), tmp_path / "ray")
    assert OnRay(workers=2).run(made, Looks()).finished
    assert set(asked) == {"rows", "part", "close"}
    Inline().run(plan(songs(), tmp_path / "inline"), Quiet())
    assert files(tmp_path / "ray") == files(tmp_path / "inline")


def test_a_piece_that_kills_its_workers_sets_its_row_aside_alone(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    made = plan(songs(deadly=(5,), count_in=str(counted)), tmp_path / "s")
    schedule = OnRay().run(made, Quiet())
    assert schedule.finished
    assert rejects(made) == {("crash", "its worker died on it 2 times")}
    assert (schedule.steps["sing"].row_counts.passed, schedule.steps["sing"].row_counts.errors) == (13, 1)
    sung = Counter(verse for verse, _ in sung_in(counted))
    assert sung.pop("5.1") == 2
    assert set(sung.values()) == {1}
    table = read_part(made.store, f"{made['sing'].folder}/{part_name(1)}")
    assert table.column("verses").to_pylist() == [5, 7, 1]  # 4, 6 and 7


def test_finished_pieces_outlive_a_stopped_run_and_another_split(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    dag = songs(count=7, rows_per_part=7, count_in=str(counted), wait_s=0.2)

    class Stops(Quiet):
        def look(self, schedule: Schedule) -> None:  # type: ignore[override]
            if len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json"))) >= 8:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OnRay().run(plan(dag, tmp_path / "s"), Stops())
    standing = len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json")))
    begun = len(sung_in(counted))
    assert 8 <= standing < 28
    again = songs(count=7, rows_per_part=7, count_in=str(counted), verses_per_piece=4)
    Inline().run(plan(again, tmp_path / "s", "again"), Quiet())
    assert len(sung_in(counted)) - begun == 28 - standing
    Inline().run(plan(songs(count=7, rows_per_part=7), tmp_path / "inline"), Quiet())
    assert files(tmp_path / "s") == files(tmp_path / "inline")


def test_pieces_left_by_a_run_that_was_killed_before_it_swept_are_gone(tmp_path: Path) -> None:
    made = plan(songs(), tmp_path / "s")
    Inline().run(made, Quiet())
    wanted = files(tmp_path / "s")
    made.store.remove(f"{made['sing'].folder}/manifest.json")
    made.store.create(f"{made['sing'].folder}/pieces/part-000001/split.json", b"[]")
    OnRay().run(plan(songs(), tmp_path / "s"), Quiet())
    assert files(tmp_path / "s") == wanted


@pytest.mark.slow
def test_all_processes_killed_among_the_pieces_cost_those_in_hand(tmp_path: Path) -> None:
    """The driver, its workers and Ray itself die by SIGKILL; the next run does what was not done."""
    counted, here = tmp_path / "count", Path(__file__)
    sing = {"count": 7, "rows_per_part": 7, "count_in": str(counted)}
    script = tmp_path / "driver.py"
    script.write_text(
        "from songs import songs\nfrom toys import Quiet\n"
        "from manifests.stores.folder import FolderStore\n"
        "from pipeline.executors.on_ray import OnRay\nfrom pipeline.planning.plan import plan_of\n"
        f"made = plan_of(songs(wait_s=0.3, **{sing!r}), FolderStore({str(tmp_path / 's')!r}), 'a')\n"
        "OnRay().run(made, Quiet())\n"
    )
    paths = os.pathsep.join(map(str, (here.parents[1] / "toys", here.parents[2])))
    driver = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": paths})
    while len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json"))) < 8:
        assert driver.poll() is None
        time.sleep(0.05)
    for process in [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]:
        process.send_signal(signal.SIGKILL)
    driver.wait()
    standing = len(list(tmp_path.glob("s/sing-*/pieces/part-000000/0*.json")))
    begun = len(sung_in(counted))
    assert OnRay().run(plan(songs(**sing), tmp_path / "s", "b"), Quiet()).finished
    assert len(sung_in(counted)) - begun == 28 - standing
    Inline().run(plan(songs(count=7, rows_per_part=7), tmp_path / "inline"), Quiet())
    assert files(tmp_path / "s") == files(tmp_path / "inline")
