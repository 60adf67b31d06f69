"""What a run shows: plain lines, JSON and the live table, from a schedule that really runs."""

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console
from toys import Numbers, Square

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.executors.inline import Inline
from pipeline.planning.plan import plan_of
from pipeline.progress.progress import JsonLines, Lines, Live
from pipeline.progress.stopwatch import Stopwatch


class Clock:
    """A clock that goes on by a second at each look."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Ticking:
    """A watch that lets a second go by and then lets another look."""

    def __init__(self, clock: Clock, *inner: object) -> None:
        self.clock, self.inner = clock, inner

    def look(self, schedule: Schedule) -> None:
        self.clock.now_s += 1.0
        for watch in self.inner:
            watch.look(schedule)  # type: ignore[attr-defined]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("pipeline.progress.stopwatch.time", found)
    monkeypatch.setattr("pipeline.progress.progress.time", found)
    return found


@pytest.fixture
def watched(clock: Clock, tmp_path: object) -> Callable[..., Schedule]:
    def run(*watches: object) -> Schedule:
        dag = Dag("few")
        rows = dag.read(Numbers(count=12), rows_per_part=3).annotate(Square(bad=5))
        dag.save(rows.keep("half >= 2", because="too small"), "rows")
        return Inline().run(plan_of(dag, FolderStore(str(tmp_path)), "r"), Ticking(clock, *watches))

    return run


def test_the_stopwatch_adds_up_what_each_step_took(watched: Callable[..., Schedule]) -> None:
    stopwatch = Stopwatch()
    schedule = watched(stopwatch)
    assert stopwatch.busy_s == {"numbers": 2.0, "square": 5.0, "too_small": 5.0}  # parts, and to close
    assert stopwatch.spent()["rows"]["square"]["worked"] == 12
    assert stopwatch.rows_per_s("square") == pytest.approx(12 / 12, rel=0.3)
    assert stopwatch.left_s(schedule) == 0.0


def test_the_time_left_is_told_when_it_can_be_known(watched: Callable[..., Schedule]) -> None:
    stopwatch = Stopwatch()
    seen: list[float | None] = []

    class Asking:
        def look(self, schedule: Schedule) -> None:
            stopwatch.look(schedule)
            seen.append(stopwatch.left_s(schedule))

    watched(Asking())
    assert seen[0] is None  # nothing is listed yet
    told = [left for left in seen if left is not None]
    assert told[-1] == 0.0
    assert told[0] > told[len(told) // 2] > 0


def test_lines_say_what_is_finished_and_how_far_the_rest_is(watched: Callable[..., Schedule]) -> None:
    said: list[str] = []
    watched(Lines(said.append, every_s=4.0))
    assert said[0] == "0 of 3 steps are done already"
    assert "square done: 9 rows, 3 rejected, 5.0 s of work" in said
    assert "too_small done: 5 rows, 3 dropped, 1 rejected, 5.0 s of work" in said
    going = [line for line in said if " | " in line]
    assert len(going) == 3
    assert "square 1/4" in going[0]
    said.clear()
    watched(Lines(said.append))
    assert said == ["3 of 3 steps are done already"]


def test_json_lines_are_whole_objects_and_the_last_is_the_end(watched: Callable[..., Schedule]) -> None:
    said: list[str] = []
    watched(JsonLines(said.append, every_s=3.0))
    found = [json.loads(line) for line in said]
    assert 3 <= len(found) <= 6
    assert found[-1]["steps"]["too_small"]["dropped"] == 3
    assert found[-1]["steps"]["too_small"]["whole"]


def test_the_live_table_shows_every_step_or_what_fits(watched: Callable[..., Schedule]) -> None:
    screens: list[str] = []

    def show(table: object) -> None:
        console = Console(file=io.StringIO(), width=100)
        console.print(table)
        screens.append(console.file.getvalue())  # type: ignore[attr-defined]

    schedule = watched(Live(show, height=40))
    assert "square" in screens[-1]
    assert "4/4" in screens[-1]
    assert Live(show, height=5).table(schedule).row_count == 0  # all are whole, and the screen is small
    assert Live(show, height=40).table(schedule).row_count == 3
