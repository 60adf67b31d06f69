"""Progress displays of a real run: text lines, JSON lines and the live table."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from toys import N, Number, Numbers, Square

from manifests import Row, column
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag, Launch
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import WorkCounts
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from pipeline.progress.lines import JsonProgress, LineProgress, rows_done
from pipeline.progress.live_table import LiveProgress
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
    monkeypatch.setattr("pipeline.progress.lines.time", found)
    monkeypatch.setattr("pipeline.progress.live_table.time", found)
    return found


@pytest.fixture
def observed_run(clock: Clock, tmp_path: object) -> Callable[..., Schedule]:
    def run(*observers: object) -> Schedule:
        dag = Dag("few")
        rows = dag.read(Numbers(count=12), rows_per_part=3).annotate(Square(bad=5))
        dag.save(rows.keep("half >= 2", because="too small"), "rows")
        return Inline(observe_s=600).run(
            build_plan(dag, FolderStore(str(tmp_path)), "r"), Ticking(clock, *observers)
        )

    return run


def test_the_stopwatch_sums_the_time_of_each_step(observed_run: Callable[..., Schedule]) -> None:
    stopwatch = Stopwatch()
    schedule = observed_run(stopwatch)
    assert stopwatch.busy_s == {"numbers": 2.0, "square": 5.0, "too_small": 5.0}  # parts + close
    assert stopwatch.to_json()["rows"]["square"]["processed"] == 12
    assert stopwatch.rows_per_s("square") == 12 / 5  # while it ran, and not until the end of the run
    assert (stopwatch.active_s, stopwatch.workers) == (12.0, 1.0)
    assert stopwatch.remaining(schedule).seconds == 0.0


def test_the_remaining_time_is_known_after_the_first_rows(observed_run: Callable[..., Schedule]) -> None:
    stopwatch = Stopwatch()
    shown: list[str] = []

    class Recorder:
        def observe(self, schedule: Schedule) -> None:
            stopwatch.observe(schedule)
            shown.append(stopwatch.remaining(schedule).text())

    observed_run(Recorder())
    assert shown[:3] == ["", "", ""]  # the source is not listed yet, and no part is finished
    known = [text for text in shown if text]
    assert known[0] == "about 0:03 left"  # three more parts of 1 s
    assert known == sorted(known, reverse=True)
    assert shown[-1] == ""


def test_lines_show_finished_steps_and_the_progress_of_others(observed_run: Callable[..., Schedule]) -> None:
    lines: list[str] = []
    observed_run(LineProgress(lines.append, every_s=4.0))
    assert lines[0] == "0 of 3 steps are done already"
    assert "square done: 9 rows, 3 rejected in 5.0 s, 2.4 rows/s" in lines
    assert "too_small done: 5 rows, 3 dropped, 1 rejected in 5.0 s" in lines
    progress = [line for line in lines if " | " in line]
    assert len(progress) == 3
    assert progress[0] == "0:04, about 0:03 left | too_small 0/4, 0 rows"
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


def columns(text: str) -> list[str]:
    return text.split()


def printed(table: object, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_live_table_shows_every_step_or_what_fits(observed_run: Callable[..., Schedule]) -> None:
    shown: list[object] = []
    schedule = observed_run(LiveProgress(shown.append, lambda: (100, 40)))
    screen = printed(shown[-1], 100)
    assert screen[0].split() == columns("step parts running ready rows dropped rejected rows/s time")
    assert screen[2].split() == ["square", "━━━━━━━━", "4/4", "·", "·", "12", "·", "3", "2.4", "0:05"]
    small = LiveProgress(shown.append, lambda: (100, 5)).table(schedule)
    assert small.row_count == 0  # all steps are complete, and the terminal is small
    assert "3 more steps, done or waiting" in "\n".join(printed(small, 100))


class Measured(Row):
    size: float = column("a number", unit="m")


class Measure(Annotate[N, Measured]):
    """Raises on every fifth number, and calls the observer as if time passed after each row."""

    def annotate(self, rows: Sequence[N]) -> Iterator[Measured]:
        for row in rows:
            AFTER_ROW["call"]()
            if row.n % 5 == 4:
                raise ValueError("too long to measure")
            yield Measured(size=row.n)


AFTER_ROW: dict[str, Callable[[], None]] = {"call": lambda: None}


def test_nothing_is_cut_off_on_a_narrow_terminal(clock: Clock, tmp_path: Path) -> None:
    """A recipe with long names, on terminals of 80 and of 60 columns, and through a pipe."""
    dag = Dag("long_names")
    rows = dag.read(Numbers(count=40), rows_per_part=20).annotate(
        Measure().on(name="measure_the_sharpness_of_stills", batch=20, retries=0),
        Square(bad=9).on(name="find_duplicates_by_aesthetics"),
    )
    dag.save(rows.keep("half >= 10", because="without content or motion"), "rows")
    screens: dict[int, list[list[str]]] = {80: [], 60: []}
    lines: list[str] = []
    Inline(observe_s=600).run(
        build_plan(dag, FolderStore(tmp_path), "r"),
        Ticking(
            clock,
            LiveProgress(lambda table: screens[80].append(printed(table, 80)), lambda: (80, 24)),
            LiveProgress(lambda table: screens[60].append(printed(table, 60)), lambda: (60, 24)),
            LineProgress(lines.append, 1.0),
        ),
    )
    for width, shown in screens.items():
        for screen in shown:
            assert max(map(len, screen)) <= width
            assert len(screen) == 1 + 4 + 1, (
                screen
            )  # the head, four steps and the caption: nothing is wrapped
            assert "…" not in "".join(screen)
    assert screens[80][-1][0].split() == columns("step parts rows dropped errors rows/s time")
    assert screens[60][-1][0].split() == columns("step parts rows errors rows/s")
    assert max(map(len, lines)) < 120
    assert any("measure_the_sharpness_of_stills 1/2, 20 rows, 4 errors, " in line for line in lines)


def test_rows_count_as_they_finish_and_the_rate_stops_with_the_step(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part of 4 rows: before each row, half a second passes and the display is updated."""
    stopwatch = Stopwatch()
    schedules: list[Schedule] = []
    seen: list[tuple[int, str]] = []

    class Keeper:
        def observe(self, schedule: Schedule) -> None:
            schedules.append(schedule)
            stopwatch.observe(schedule)

    def after_row() -> None:
        clock.now_s += 0.5
        schedule = schedules[-1]
        stopwatch.observe(schedule)
        stopwatch.read_journals(schedule)
        seen.append((stopwatch.rows_running("measure"), stopwatch.remaining(schedule).text()))

    monkeypatch.setitem(AFTER_ROW, "call", after_row)
    dag = Dag("one_part")
    dag.save(dag.read(Numbers(count=4)).annotate(Measure().on(batch=1)), "rows")
    Inline(observe_s=600).run(build_plan(dag, FolderStore(tmp_path), "r"), Keeper())
    assert [rows for rows, _ in seen] == [0, 1, 2, 3]
    assert [text for _, text in seen] == ["", "about 0:03 left", "about 0:01 left", ""]
    assert stopwatch.rows_per_s("measure") == 2.0
    clock.now_s += 100
    assert stopwatch.rows_per_s("measure") == 2.0


class Listing(Numbers):
    """Numbers; the observer is called before each."""

    def rows(self) -> Iterator[Number]:
        for row in super().rows():
            AFTER_ROW["call"]()
            yield row


def test_a_source_shows_its_rows_while_it_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedules: list[Schedule] = []
    shown: list[int] = []
    stopwatch = Stopwatch()

    class Keeper:
        def observe(self, schedule: Schedule) -> None:
            schedules.append(schedule)

    def look() -> None:
        stopwatch.read_journals(schedules[-1])
        shown.append(rows_done(schedules[-1], stopwatch, "listing"))

    monkeypatch.setitem(AFTER_ROW, "call", look)
    dag = Dag("listed")
    dag.save(dag.read(Listing(count=6), rows_per_part=2), "rows")
    Inline(observe_s=600).run(build_plan(dag, FolderStore(tmp_path), "r"), Keeper())
    assert shown == [0, 0, 2, 2, 4, 4]
    assert not list(tmp_path.rglob("*.jsonl"))


class Train(Launch[N, Measured]):
    """A training of 8 steps, during which the observer is called once."""

    def progress(self, work: Path) -> tuple[float, str]:
        step = int((work / "step").read_text())
        return step / 8, f"step {step}/8, loss 0.25"

    def run(self, rows: Iterator[N], work: Path) -> Measured:
        (work / "step").write_text("2")
        AFTER_ROW["call"]()
        return Measured(size=1.0)


def test_a_training_shows_its_step_and_loss_and_is_estimated_from_its_steps(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    written: list[str] = []
    lines, live = LineProgress(written.append, 5.0), LiveProgress(shown.append, lambda: (80, 24))
    schedules: list[Schedule] = []

    class Keeper:
        def observe(self, schedule: Schedule) -> None:
            schedules.append(schedule)
            lines.observe(schedule)
            live.observe(schedule)

    def after_step() -> None:
        clock.now_s += 10
        lines.observe(schedules[-1])
        live.observe(schedules[-1])

    monkeypatch.setitem(AFTER_ROW, "call", after_step)
    dag = Dag("training")
    dag.save(dag.read(Numbers(count=2)).launch(Train()), "model")
    Inline(observe_s=600).run(build_plan(dag, FolderStore(tmp_path), "r"), Keeper())
    assert "0:10, about 0:30 left | train step 2/8, loss 0.25" in written
    assert any("train: step 2/8, loss 0.25" in "\n".join(printed(table, 80)) for table in shown)


def test_the_share_of_time_that_parts_of_a_stage_waited_is_recorded() -> None:
    first = WorkCounts(processed=1, seconds={"decode": 3.0, "decode_waited": 0.0, "encode_waited": 1.0})
    total = first + WorkCounts(processed=2, seconds={"decode_waited": 1.0, "encode": 1.0})
    assert total.waited_shares == {"decode": 0.25, "encode": 0.5}
    stopwatch = Stopwatch()
    stopwatch.work = {"slow": total, "other": WorkCounts(processed=3)}
    recorded = stopwatch.to_json()
    assert list(recorded["overlap"]) == ["slow"]
    assert recorded["overlap"]["slow"]["waited_share"] == {"decode": 0.25, "encode": 0.5}
    assert recorded["rows"]["other"] == {
        "processed": 3, "reused": 0, "resumed": 0, "reprocessed": 0, "divided": 0
    }  # fmt: skip
