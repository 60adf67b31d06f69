"""The plan of a run after rows were added: rows, seconds of video, bytes, time; and the time that it took."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from toys import Quiet

from manifests import Artifact, Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag, Expand, Source
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan
from pipeline.preview.costs import Costs, costs_of
from pipeline.preview.forecast import StepForecast, forecast
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag


class Film(Row):
    id: str = column("made from the number")
    number: int = column("the number of the film")
    size_bytes: int = column("size of the file", unit="bytes")


class Films(Source[Film]):
    """Films 0 … count-1; each has 1,000 bytes per second."""

    count: int = 4

    def rows(self) -> Iterator[Film]:
        for n in range(self.count):
            yield Film(id=id_of("film", n), number=n, size_bytes=10_000 * (n + 1))


class Numbered(Row):
    number: int


class Header(Row):
    film_s: float = column("duration of the film", unit="s")


class Probe(Annotate[Numbered, Header]):
    """A film has 10 s more than the one before it."""

    def annotate(self, rows: Sequence[Numbered]) -> Iterator[Header]:
        for row in rows:
            yield Header(film_s=10.0 * (row.number + 1))


class Scanned(Row):
    signals: Artifact = column("500 bytes for each film")


class Scan(Annotate[Numbered, Scanned]):
    decodes = "film_s"

    def annotate(self, rows: Sequence[Numbered]) -> Iterator[Scanned]:
        for row in rows:
            yield Scanned(signals=Artifact.of(f"{row.number:0500}".encode(), ".txt"))


class Clip(Row):
    start: int = column("first second", key=True)
    clip_s: float = column("duration of the clip", unit="s", by_id=True)


class Find(Expand[Numbered, Clip]):
    """Three clips of 2 s in each film."""

    def expand(self, row: Numbered) -> Iterator[Clip]:
        for start in range(3):
            yield Clip(start=start, clip_s=2.0)


class ClipFile(Row):
    clip: Artifact = column("200 bytes for each clip")


class Times(Row):
    id: str
    start: int
    clip_s: float


class Cut(Annotate[Times, ClipFile]):
    decodes = "clip_s"

    def annotate(self, rows: Sequence[Times]) -> Iterator[ClipFile]:
        for row in rows:
            yield ClipFile(clip=Artifact.of(f"{row.id:>0200}".encode(), ".txt"))


def films(count: int, min_start: int = 1) -> Dag:
    dag = Dag("films")
    scanned = dag.read(Films(count=count), rows_per_part=3).annotate(Probe()).annotate(Scan())
    dag.save(
        scanned.expand(Find()).keep(f"start >= {min_start}", because="too early").annotate(Cut()), "clips"
    )
    return dag


def set_timings(store: Path, busy_s: dict[str, float], **more: float) -> None:
    """Replace the measured times of the newest run: they depend on the machine."""
    file = max((store / "runs").iterdir()) / "timings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "busy_s": busy_s, **more}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of four films, of 10 to 40 s, that is said to have taken 60 s."""
    folder = tmp_path_factory.mktemp("store")
    run_films(folder, films(4))
    set_timings(folder, {"probe": 0.4, "scan": 40.0, "find": 2.0, "cut": 4.0}, active_s=50.0, wall_s=60.0)
    return folder


def run_films(folder: Path, dag: Dag) -> Any:
    request = RunRequest("films.py", {}, str(folder))
    return run_dag(dag, str(folder), executor=Inline(), observer=Quiet(), request=request)


def planned(store: Path, dag: Dag) -> tuple[Plan, dict[str, StepForecast], Costs]:
    plan = build_plan(dag, FolderStore(store), "plan")
    steps = forecast(plan)
    return plan, {found.step.name: found for found in steps}, costs_of(plan, steps)


def test_two_films_more_are_two_new_rows_in_each_step(store: Path) -> None:
    before = sorted(FolderStore(store).walk())
    _, steps, costs = planned(store, films(6))
    assert sorted(FolderStore(store).walk()) == before
    assert [(costs.steps[name].rows, steps[name].reused) for name in steps] == [
        (2, 4),  # films
        (2, 4),  # probe
        (2, 4),  # scan
        (2, 4),  # find
        (18, 0),  # the rule decides the 12 known clips again, and 6 that are expected
        (4, 8),  # cut: 2 of 3 clips of a film are kept
    ]
    assert [costs.steps[name].is_exact for name in ("films", "probe", "scan", "cut")] == [
        *(True, True, False, False)  # the probe may reject a film
    ]


def test_hours_bytes_and_time_follow_from_earlier_runs_of_the_store(store: Path) -> None:
    _, _, costs = planned(store, films(6))
    scan, cut = costs.steps["scan"], costs.steps["cut"]
    assert (scan.video_s, cut.video_s) == (50 + 60, 4 * 2.0)  # by the sizes of the files; clips of 2 s
    assert (scan.bytes_read, cut.bytes_read) == (50_000 + 60_000, 8 * 1000)  # the files of the new films
    assert (scan.bytes_written, cut.bytes_written) == (2 * 500, 4 * 200)
    assert (scan.seconds, costs.steps["find"].seconds, cut.seconds) == (44.0, 1.0, 2.0)  # 0.4 s of work/s
    workers = (0.4 + 40 + 2 + 4) / 50  # busy at a time; less than one is one
    assert workers < 1
    assert costs.seconds == pytest.approx(0.2 + 44 + 1 + 2 + 10)  # and the 10 s in which no task ran
    assert (costs.not_timed, costs.runs) == ((), 1)


def test_known_durations_count_with_their_seconds_and_not_as_rows(store: Path, tmp_path: Path) -> None:
    """A step costs as much for each second of video as before, where the new rows are longer."""
    _, steps, costs = planned(store, films(4, min_start=0))
    assert (costs.steps["cut"].rows, steps["cut"].reused, costs.steps["cut"].is_exact) == (4, 8, True)
    assert costs.steps["cut"].video_s == 8.0
    assert steps["scan"].complete
    run_films(tmp_path, films(2))
    set_timings(tmp_path, {"scan": 30.0, "find": 1.0, "cut": 1.0, "probe": 1.0}, active_s=33.0, wall_s=33.0)
    dag = films(4)
    Inline().run(build_plan(_probed(4), FolderStore(tmp_path), "probing"), Quiet())
    scan = planned(tmp_path, dag)[2].steps["scan"]
    assert scan.video_s == 30 + 40  # from the headers of the new films
    assert scan.seconds == pytest.approx(70)  # 30 s of work for 10 + 20 s of video: 1 s for each


def _probed(count: int) -> Dag:
    dag = Dag("films")
    dag.save(dag.read(Films(count=count), rows_per_part=3).annotate(Probe()), "headers")
    return dag


def test_without_earlier_runs_times_are_unknown_and_named(tmp_path: Path) -> None:
    _, steps, costs = planned(tmp_path, films(2))
    assert (costs.steps["films"].rows, costs.steps["probe"].rows, costs.steps["scan"].video_s) == (2, 2, None)
    assert (costs.seconds, costs.steps["cut"].rows, costs.runs) == (None, None, 0)
    assert costs.not_timed == ("probe", "scan", "find", "cut")
    assert not any(found.complete for found in steps.values())


def test_a_run_records_how_long_it_was_planned_to_take(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.verbs.run import print_result

    result = run_films(store, films(5))
    recorded = json.loads((store / "runs" / result.run / "timings.json").read_text())
    assert recorded["planned_s"] == pytest.approx(result.planned_s, abs=0.001)
    assert result.planned_s == pytest.approx(0.1 + 20 + 0.5 + 1 + 10, rel=0.2)  # and the listing of the films
    print_result(result, ())
    assert "time    planned 3" in capsys.readouterr().out
    assert run_films(store, films(5)).planned_s is None  # nothing has to run


def test_the_plan_is_readable_at_80_columns(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from argparse import Namespace

    from pipeline.verbs import plan as verb

    class Request:
        store: str
        dag: Callable[[], Dag]

    request = Request()
    request.store, request.dag = str(store), lambda: films(7)
    monkeypatch.setattr(verb, "parse_request", lambda args: request)
    verb.plan(Namespace(json=False, retry_errors=False))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["step", "new", "re-used", "video", "time", "per", "worker"]
    name, new, reused, *_ = lines[1].split()
    assert (name, int(new) + int(reused)) == ("films", 7)
    assert any(line.startswith("video   about ") for line in lines)
    assert any(line.startswith("time    about ") for line in lines)
