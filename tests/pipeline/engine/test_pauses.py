"""Pauses: when a paused step is retried, how the pause is reported, and when a run gives up."""

import io
import json
from pathlib import Path

import pytest
from ringing import ringing
from songs import Sing, songs
from toys import Numbers, Quiet

from manifests import Row
from manifests.stores.folder import FolderStore
from pipeline import Dag, Unavailable
from pipeline.engine.pauses import Pauses
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.task import Pause, Task, TaskResult
from pipeline.engine.worker import Worker
from pipeline.errors import StageFailed, StageWaits
from pipeline.executors.inline import Inline
from pipeline.history.status import status_of
from pipeline.planning.plan import build_plan
from pipeline.progress.lines import LineProgress
from pipeline.progress.live_table import LiveProgress
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

UNAVAILABLE = Pause("unavailable", retry_s=10, patience_s=25)


def test_a_paused_step_is_retried_with_one_task_until_one_succeeds() -> None:
    now = [100.0]
    pauses = Pauses(clock=lambda: now[0])
    assert not pauses.blocks("ask", 5)
    pauses.pause("ask", UNAVAILABLE)
    assert pauses.reasons() == {"ask": "unavailable"}
    assert pauses.blocks("ask", 0)
    assert not pauses.blocks("other", 0)
    now[0] += 10
    assert not pauses.blocks("ask", 0)
    assert pauses.blocks("ask", 1)
    pauses.resume("ask")
    assert not pauses.blocks("ask", 5)
    assert pauses.reasons() == {}


def test_pauses_time_out_when_every_step_has_waited_since_its_first_failure() -> None:
    now = [0.0]
    pauses = Pauses(clock=lambda: now[0])
    assert not pauses.has_timed_out()
    pauses.pause("ask", UNAVAILABLE)
    now[0] = 20
    pauses.pause("ask", UNAVAILABLE)
    pauses.pause("beg", UNAVAILABLE)
    now[0] = 25
    assert not pauses.has_timed_out()  # the other step may still be retried
    now[0] = 45
    assert pauses.has_timed_out()
    pauses.resume("ask")
    pauses.pause("ask", UNAVAILABLE)
    assert not pauses.has_timed_out()


def test_a_schedule_without_ready_tasks_and_pauses_is_a_bug(tmp_path: Path) -> None:
    schedule = Schedule(build_plan(songs(), FolderStore(tmp_path), "r"))
    while task := schedule.take():
        schedule.finish(task, TaskResult(pause=Pause("unavailable", 60, 0)))
    assert schedule.ready == {}
    with pytest.raises(StageWaits, match="waits: unavailable"):
        schedule.check_pauses()
    schedule.pauses = Pauses()
    with pytest.raises(StageFailed, match="bug in clipmill"):
        schedule.check_pauses()


class UnavailableSing(Sing):
    """Sings only if the file `up` exists."""

    up: str = ""
    execution_settings = Sing.execution_settings | {"up"}

    def work(self, row: Row, piece: Row) -> Row:  # type: ignore[override]
        if not Path(self.up).exists():
            raise Unavailable("the singer is unavailable", retry_s=0.01, patience_s=0.1)
        return super().work(row, piece)  # type: ignore[arg-type,return-value]


def test_lines_and_the_table_show_that_a_step_pauses_and_continues(tmp_path: Path) -> None:
    from rich.console import Console

    written: list[str] = []
    screens: list[str] = []
    lines = LineProgress(written.append)

    def show(table: object) -> None:
        console = Console(file=io.StringIO(), width=150)
        console.print(table)
        screens.append(console.file.getvalue())  # type: ignore[attr-defined]

    live = LiveProgress(show, lambda: (150, 40))

    class UpAfterPause:
        def observe(self, schedule: Schedule) -> None:
            lines.observe(schedule)
            if schedule.pauses.reasons():
                live.observe(schedule)
                (tmp_path / "up").touch()

    Inline().run(
        build_plan(ringing(up=str(tmp_path / "up")), FolderStore(tmp_path / "s"), "r"), UpAfterPause()
    )
    assert written.count("ring is paused and will be retried: nobody answers") == 1
    assert written.index("ring continues") > written.index(
        "ring is paused and will be retried: nobody answers"
    )
    assert "paused" in screens[0]


def test_the_record_has_the_reason_of_a_waiting_run(tmp_path: Path) -> None:
    dag = ringing(up=str(tmp_path / "up"), patience_s=0.1)
    request = RunRequest("ringing.py", {}, str(tmp_path / "s"))
    with pytest.raises(StageWaits, match="nobody answers"):
        run_dag(dag, str(tmp_path / "s"), executor=Inline(), observer=Quiet(), request=request)
    store = FolderStore(tmp_path / "s")
    status = status_of(store)
    assert list(status.runs.values()) == ["waits"]
    log = store.read(f"runs/{status.run}/log.txt").decode()
    assert "ring is paused and will be retried: nobody answers" in log
    assert json.loads(store.read(f"runs/{status.run}/timings.json"))["error"].startswith("StageWaits")
    (tmp_path / "up").touch()
    assert (
        run_dag(dag, str(tmp_path / "s"), executor=Inline(), observer=Quiet(), request=request).exit_code == 0
    )


def test_requeued_pieces_are_processed_when_the_service_is_available(tmp_path: Path) -> None:
    dag, up = Dag("songs"), tmp_path / "up"
    sung = dag.read(Numbers(count=7), rows_per_part=1).annotate(UnavailableSing(up=str(up)).on(name="sing"))
    dag.save(sung, "songs")
    plan = build_plan(dag, FolderStore(tmp_path / "s"), "r")
    for step in plan:
        begin_table(plan, step)
    worker = Worker(plan, share_pieces=True)
    worker.run(Task("numbers", "rows"))
    six = Task("sing", "part", 6)
    names = worker.run(six).pieces
    pause = Pause("the singer is unavailable", 0.01, 0.1)
    for _ in range(3):
        assert worker.run(Task("sing", "piece", 6, names[1])).pause == pause
        assert Worker(plan).run(six).pause == pause
    up.touch()
    assert worker.run(Task("sing", "piece", 6, names[1])).pause is None
    assert len(worker.run(six).pieces) == len(names) - 1
    row_counts = Worker(plan).run(six).row_counts
    assert row_counts is not None
    assert row_counts.passed == 1
