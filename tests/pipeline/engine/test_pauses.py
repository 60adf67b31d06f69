"""Pauses: how long a step is left alone, how it is told, and when a run gives up."""

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
from pipeline.engine.steps.finalize import begin
from pipeline.engine.task import Done, Pause, Task
from pipeline.engine.worker import Worker
from pipeline.errors import StageFailed, StageWaits
from pipeline.executors.inline import Inline
from pipeline.history.status import status_of
from pipeline.planning.plan import plan_of
from pipeline.progress.progress import Lines, Live
from pipeline.recipes.request import RunRequest
from pipeline.run import carry_out

AWAY = Pause("away", retry_s=10, patience_s=25)


def test_a_step_is_left_alone_then_tried_with_one_task_until_one_is_done() -> None:
    now = [100.0]
    pauses = Pauses(clock=lambda: now[0])
    assert not pauses.holds("ask", 5)
    pauses.put("ask", AWAY)
    assert pauses.told() == {"ask": "away"}
    assert pauses.holds("ask", 0)
    assert not pauses.holds("other", 0)
    now[0] += 10
    assert not pauses.holds("ask", 0)
    assert pauses.holds("ask", 1)
    pauses.end("ask")
    assert not pauses.holds("ask", 5)
    assert pauses.told() == {}


def test_patience_counts_from_the_first_failure_and_for_all_steps() -> None:
    now = [0.0]
    pauses = Pauses(clock=lambda: now[0])
    assert not pauses.hopeless()
    pauses.put("ask", AWAY)
    now[0] = 20
    pauses.put("ask", AWAY)
    pauses.put("beg", AWAY)
    now[0] = 25
    assert not pauses.hopeless()  # there is hope for the other
    now[0] = 45
    assert pauses.hopeless()
    pauses.end("ask")
    pauses.put("ask", AWAY)
    assert not pauses.hopeless()


def test_a_schedule_with_nothing_to_do_and_nothing_that_pauses_is_a_defect(tmp_path: Path) -> None:
    schedule = Schedule(plan_of(songs(), FolderStore(tmp_path), "r"))
    while task := schedule.take():
        schedule.finish(task, Done(pause=Pause("away", 60, 0)))
    assert schedule.waiting == {}
    with pytest.raises(StageWaits, match="waits: away"):
        schedule.rest()
    schedule.pauses = Pauses()
    with pytest.raises(StageFailed, match="defect"):
        schedule.rest()


class Hoarse(Sing):
    """Sings only while the file `up` is there."""

    up: str = ""
    place = Sing.place | {"up"}

    def work(self, row: Row, piece: Row) -> Row:  # type: ignore[override]
        if not Path(self.up).exists():
            raise Unavailable("the singer is out", retry_s=0.01, patience_s=0.1)
        return super().work(row, piece)  # type: ignore[arg-type,return-value]


def test_lines_and_the_table_say_that_a_step_pauses_and_goes_on(tmp_path: Path) -> None:
    from rich.console import Console

    said: list[str] = []
    drawn: list[str] = []
    lines = Lines(said.append)

    def show(table: object) -> None:
        console = Console(file=io.StringIO(), width=150)
        console.print(table)
        drawn.append(console.file.getvalue())  # type: ignore[attr-defined]

    live = Live(show, height=40)

    class Watch:
        def look(self, schedule: Schedule) -> None:
            lines.look(schedule)
            if schedule.pauses.told():
                live.look(schedule)
                (tmp_path / "up").touch()

    Inline().run(plan_of(ringing(up=str(tmp_path / "up")), FolderStore(tmp_path / "s"), "r"), Watch())
    assert said.count("ring pauses, and is tried again: nobody answers") == 1
    assert said.index("ring goes on") > said.index("ring pauses, and is tried again: nobody answers")
    assert "paused" in drawn[0]


def test_the_record_says_for_what_the_run_waits(tmp_path: Path) -> None:
    dag = ringing(up=str(tmp_path / "up"), patience_s=0.1)
    asked = RunRequest("ringing.py", {}, str(tmp_path / "s"))
    with pytest.raises(StageWaits, match="nobody answers"):
        carry_out(dag, str(tmp_path / "s"), executor=Inline(), watch=Quiet(), asked=asked)
    store = FolderStore(tmp_path / "s")
    status = status_of(store)
    assert list(status.runs.values()) == ["waits"]
    log = store.read(f"runs/{status.run}/log.txt").decode()
    assert "ring pauses, and is tried again: nobody answers" in log
    assert json.loads(store.read(f"runs/{status.run}/timings.json"))["error"].startswith("StageWaits")
    (tmp_path / "up").touch()
    assert carry_out(dag, str(tmp_path / "s"), executor=Inline(), watch=Quiet(), asked=asked).exit_code == 0


def test_pieces_that_could_not_be_sung_are_put_back_often_and_sung_later(tmp_path: Path) -> None:
    dag, up = Dag("songs"), tmp_path / "up"
    sung = dag.read(Numbers(count=7), rows_per_part=1).annotate(Hoarse(up=str(up)).on(name="sing"))
    dag.save(sung, "songs")
    plan = plan_of(dag, FolderStore(tmp_path / "s"), "r")
    for step in plan:
        begin(plan, step)
    worker = Worker(plan, spread=True)
    worker.do(Task("numbers", "rows"))
    six = Task("sing", "part", 6)
    names = worker.do(six).pieces
    away = Pause("the singer is out", 0.01, 0.1)
    for _ in range(3):
        assert worker.do(Task("sing", "piece", 6, names[1])).pause == away
        assert Worker(plan).do(six).pause == away
    up.touch()
    assert worker.do(Task("sing", "piece", 6, names[1])).pause is None
    assert len(worker.do(six).pieces) == len(names) - 1
    row_counts = Worker(plan).do(six).row_counts
    assert row_counts is not None
    assert row_counts.passed == 1
