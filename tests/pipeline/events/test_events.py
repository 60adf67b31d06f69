"""Events: every line has the documented fields, the counts agree with the funnel, and writing is cheap."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from toys import N, Numbers, Quiet, Square, Squared

from manifests.errors import Damaged, StoreFull
from manifests.store import Store
from manifests.stores import open_store
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag, Unavailable
from pipeline.errors import StageWaits
from pipeline.events.event import EVENTS, differences
from pipeline.events.reader import read_events
from pipeline.events.writer import EventWriter, object_name
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag

COUNTS = ("rows_in", "passed", "dropped", "rejected", "errors", "rows_out")


def dag() -> Dag:
    dag = Dag("d")
    squares = dag.read(Numbers(count=12), rows_per_part=5).annotate(Square(bad=5, fail_on=3))
    small = squares.keep("square > 10", because="small").keep("square < 100", because="large")
    dag.save(small, "x")
    return dag


def run(dag: Dag, store: str) -> RunResult:
    request = RunRequest("https://me:password@host/r.py", {}, store)
    return run_dag(dag, store, executor=Inline(), observer=Quiet(), request=request)


def events(store: str) -> list[dict[str, Any]]:
    opened = open_store(store)
    (name,) = opened.names("runs")[-1:]
    return list(read_events(opened, f"runs/{name}"))


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_the_counts_of_the_events_agree_with_the_funnel(place: str, tmp_path: Path) -> None:
    store = str(tmp_path / "s") if place == "folder" else f"memory://{tmp_path.name}/s"
    result = run(dag(), store)
    lines = events(store)
    assert [wrong for line in lines for wrong in differences(line)] == []
    for line in result.funnel.lines:
        parts = [e for e in lines if e["event"] == "part_finished" and e["step"] == line.step]
        (ended,) = [e for e in lines if e["event"] == "step_ended" and e["step"] == line.step]
        assert {name: ended[name] for name in COUNTS} == {name: getattr(line, name) for name in COUNTS}
        if line.kind != "source":
            assert {n: sum(e[n] for e in parts) for n in COUNTS} == {n: ended[n] for n in COUNTS}
            assert [e["part"] for e in parts] == [0, 1, 2]
    kinds = Counter(line["event"] for line in lines)
    assert kinds["step_started"] == kinds["step_ended"] == 4
    assert (lines[0]["event"], lines[-1]["event"]) == ("run_started", "run_ended")
    assert lines[-1]["state"] == "done"
    assert (lines[0]["recipe"], lines[0]["run"]) == ("https://host/r.py", result.run)


def test_rejected_rows_name_the_file_with_their_reasons(tmp_path: Path) -> None:
    run(dag(), str(tmp_path))
    rejected = [e for e in events(str(tmp_path)) if e["event"] == "rows_rejected"]
    assert (sum(e["rejected"] for e in rejected), sum(e["errors"] for e in rejected)) == (3, 1)
    assert all((tmp_path / e["file"]).is_file() for e in rejected)


def test_bytes_are_those_of_the_files_of_the_step(tmp_path: Path) -> None:
    run(dag(), str(tmp_path))
    steps = ("part_finished", "task_finished")
    reported = sum(e["bytes"] or 0 for e in events(str(tmp_path)) if e["event"] in steps)
    files = [f for f in tmp_path.rglob("*") if f.is_file() and f.relative_to(tmp_path).parts[0] != "runs"]
    headers = [f for f in files if f.name in ("table.json", "store.json")]  # written by the driver
    assert reported == sum(f.stat().st_size for f in files) - sum(f.stat().st_size for f in headers)


class Resting(Annotate[N, Squared]):
    """Its service is not available."""

    def annotate(self, rows: Any) -> Any:
        raise Unavailable("https://me:password@host/v1 refused", retry_s=0.01, patience_s=0.05)


def test_a_pause_is_reported_without_credentials_and_so_is_the_state_of_the_run(tmp_path: Path) -> None:
    paused = Dag("p")
    paused.save(paused.read(Numbers(count=2)).annotate(Resting()), "x")
    with pytest.raises(StageWaits):
        run(paused, str(tmp_path))
    lines = events(str(tmp_path))
    (pause,) = [e for e in lines if e["event"] == "step_paused"]
    assert pause["reason"] == "https://host/v1 refused"
    assert (lines[-1]["event"], lines[-1]["state"]) == ("run_ended", "waits")


class FullStore(FolderStore):
    """A folder whose disk is full at first."""

    full = True

    def append(self, name: str, data: bytes) -> bool:
        if self.full:
            raise StoreFull("no space")
        return super().append(name, data)


def test_events_that_could_not_be_written_are_written_later(tmp_path: Path) -> None:
    store = FullStore(tmp_path)
    writer = EventWriter(store, "runs/r")
    writer.add("warning", {"text": "one\udcff"})
    writer.write()
    store.full = False
    writer.add("warning", {"text": "two\nlines"})
    writer.write()
    assert [e["text"] for e in read_events(store, "runs/r")] == ["one\udcff", "two\nlines"]


def test_an_object_store_gets_numbered_objects_that_are_read_in_order() -> None:
    store = open_store("memory://events/s")
    writer = EventWriter(store, "runs/r")
    for number in range(3):
        writer.add("warning", {"text": str(number)})
        writer.write()
    assert store.names("runs/r") == [object_name(n) for n in (1, 2, 3)]
    assert [e["text"] for e in read_events(store, "runs/r")] == ["0", "1", "2"]


def test_only_the_last_line_may_be_incomplete(tmp_path: Path) -> None:
    store: Store = FolderStore(tmp_path)
    store.append("runs/r/events.jsonl", b'{"event": "warning"}\n{"event": "war')
    assert list(read_events(store, "runs/r")) == [{"event": "warning"}]
    store.append("runs/r/events.jsonl", b"\n{}\n")
    with pytest.raises(Damaged, match="not JSON"):
        list(read_events(store, "runs/r"))


@pytest.mark.parametrize("url", ["", "memory://events/added"])
def test_a_later_call_reads_only_what_was_added(url: str, tmp_path: Path) -> None:
    store, offsets = open_store(url or str(tmp_path)), dict[str, int]()
    writer = EventWriter(store, "runs/r")
    read = []
    for number in range(3):
        writer.add("warning", {"text": f"{number}"})
        writer.add("warning", {"text": "ä"})
        writer.write()
        read.append([event["text"] for event in read_events(store, "runs/r", offsets)])
        assert list(read_events(store, "runs/r", offsets)) == []
    assert read == [["0", "ä"], ["1", "ä"], ["2", "ä"]]
    assert sum(offsets.values()) == sum(store.size(f"runs/r/{name}") for name in store.names("runs/r"))


def test_an_object_of_another_driver_is_not_overwritten() -> None:
    store = open_store("memory://events/two")
    for text in ("first driver", "second driver"):
        writer = EventWriter(store, "runs/r")
        writer.add("warning", {"text": text})
        writer.write()
    assert [event["text"] for event in read_events(store, "runs/r")] == ["first driver", "second driver"]


def test_the_documentation_lists_every_event_and_field() -> None:
    text = (Path(__file__).parents[3] / "pipeline/events/README.md").read_text(encoding="utf-8")
    rows = {m[1]: m[2] for m in re.finditer(r"^\| `(?!ray_)(\w+)` \| (.*?) \|", text, re.MULTILINE)}
    fields = {
        kind: [*re.findall(r"`(\w+)`", row), *(COUNTS if "COUNTS" in row else ())]
        for kind, row in rows.items()
    }
    assert fields == {kind: [*fields] for kind, fields in EVENTS.items()}


def test_a_line_is_small_and_starts_with_the_time(tmp_path: Path) -> None:
    run(dag(), str(tmp_path))
    (file,) = tmp_path.glob("runs/*/events.jsonl")
    for line in file.read_text().splitlines():
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", json.loads(line)["time"])
    assert max(map(len, file.read_bytes().splitlines())) < 400
