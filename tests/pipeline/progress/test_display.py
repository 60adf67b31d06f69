"""Progress displays of a real run: text lines, JSON lines and the live table."""

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console
from toys import Numbers, Square

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import WorkCounts
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from pipeline.progress.display import JsonProgress, LineProgress, LiveProgress
from pipeline.progress.stopwatch import Stopwatch


class Clock:
    """A clock that a test sets, in seconds."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Ticking:
    """Advances the clock by 1 s, and then calls other observers."""

    def __init__(self, clock: Clock, *observers: object) -> None:
        self.clock, self.observers = clock, observers

    def observe(self, schedule: Schedule) -> None:
        self.clock.now_s += 1.0
        for observer in self.observers:
            observer.observe(schedule)  # type: ignore[attr-defined]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("pipeline.progress.stopwatch.time", found)
    monkeypatch.setattr("pipeline.progress.display.time", found)
    return found


@pytest.fixture
def observed_run(clock: Clock, tmp_path: object) -> Callable[..., Schedule]:
    def run(*observers: object) -> Schedule:
        dag = Dag("few")
        rows = dag.read(Numbers(count=12), rows_per_part=3).annotate(Square(bad=5))
        dag.save(rows.keep("half >= 2", because="too small"), "rows")
        return Inline().run(build_plan(dag, FolderStore(str(tmp_path)), "r"), Ticking(clock, *observers))

    return run


def test_the_stopwatch_sums_the_time_of_each_step(observed_run: Callable[..., Schedule]) -> None:
    stopwatch = Stopwatch()
    schedule = observed_run(stopwatch)
    assert stopwatch.busy_s == {"numbers": 2.0, "square": 5.0, "too_small": 5.0}  # parts + close
    assert stopwatch.to_json()["rows"]["square"]["processed"] == 12
    assert stopwatch.rows_per_s("square") == pytest.approx(12 / 12, rel=0.3)
    assert stopwatch.remaining_s(schedule) == 0.0


def test_the_remaining_time_is_known_after_the_listing(observed_run: Callable[..., Schedule]) -> None:
    stopwatch = Stopwatch()
    times: list[float | None] = []

    class Recorder:
        def observe(self, schedule: Schedule) -> None:
            stopwatch.observe(schedule)
            times.append(stopwatch.remaining_s(schedule))

    observed_run(Recorder())
    assert times[0] is None  # the source is not listed yet
    known = [remaining for remaining in times if remaining is not None]
    assert known[-1] == 0.0
    assert known[0] > known[len(known) // 2] > 0


def test_lines_show_finished_steps_and_the_progress_of_others(observed_run: Callable[..., Schedule]) -> None:
    lines: list[str] = []
    observed_run(LineProgress(lines.append, every_s=4.0))
    assert lines[0] == "0 of 3 steps are done already"
    assert "square done: 9 rows, 3 rejected, 5.0 s of work" in lines
    assert "too_small done: 5 rows, 3 dropped, 1 rejected, 5.0 s of work" in lines
    progress = [line for line in lines if " | " in line]
    assert len(progress) == 3
    assert "square 1/4" in progress[0]
    lines.clear()
    observed_run(LineProgress(lines.append))
    assert lines == ["3 of 3 steps are done already"]


def test_each_json_line_is_an_object_and_the_last_is_the_end(observed_run: Callable[..., Schedule]) -> None:
    lines: list[str] = []
    observed_run(JsonProgress(lines.append, every_s=3.0))
    found = [json.loads(line) for line in lines]
    assert 3 <= len(found) <= 6
    assert found[-1]["steps"]["too_small"]["dropped"] == 3
    assert found[-1]["steps"]["too_small"]["complete"]


def test_the_live_table_shows_every_step_or_what_fits(observed_run: Callable[..., Schedule]) -> None:
    screens: list[str] = []

    def show(table: object) -> None:
        console = Console(file=io.StringIO(), width=100)
        console.print(table)
        screens.append(console.file.getvalue())  # type: ignore[attr-defined]

    schedule = observed_run(LiveProgress(show, height=40))
    assert "square" in screens[-1]
    assert "4/4" in screens[-1]
    assert (
        LiveProgress(show, height=5).table(schedule).row_count == 0
    )  # all steps are complete, and the terminal is small
    assert LiveProgress(show, height=40).table(schedule).row_count == 3


def test_the_share_of_time_that_parts_of_a_stage_waited_is_recorded() -> None:
    first = WorkCounts(processed=1, seconds={"decode": 3.0, "decode_waited": 0.0, "encode_waited": 1.0})
    total = first + WorkCounts(processed=2, seconds={"decode_waited": 1.0, "encode": 1.0})
    assert total.waited_shares == {"decode": 0.25, "encode": 0.5}
    stopwatch = Stopwatch()
    stopwatch.work = {"slow": total, "other": WorkCounts(processed=3)}
    recorded = stopwatch.to_json()
    assert list(recorded["overlap"]) == ["slow"]
    assert recorded["overlap"]["slow"]["waited_share"] == {"decode": 0.25, "encode": 0.5}
    assert recorded["rows"]["other"] == {"processed": 3, "reused": 0, "resumed": 0, "reprocessed": 0}
