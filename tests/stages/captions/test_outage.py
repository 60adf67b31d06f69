"""An endpoint that fails during a run: captions pause, no row is dropped, and no secret is written."""

import re
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chat_server import ChatServer, Reply, Request, closed_port, completion
from numbered_frames import number_text, numbered_frames, read_number
from toys import Quiet

from manifests import ClipmillError
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline import Dag
from pipeline.engine.replay import dag_of_run
from pipeline.errors import StageWaits
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.planning.plan import build_plan
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag
from stages.captions.caption_clip import CaptionClip
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.media.encoding.arrays import write_mp4
from stages.scan.scan_video import ScanVideo
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries

KEY = "sk-do-not-write-me-down"
DOWN = Reply(b"out of memory", status=500)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.chat.endpoint._MIN_BACKOFF_S", 0.01)
    monkeypatch.setattr("stages.models.chat.endpoint._RETRY_S", 0.05)
    monkeypatch.setenv("MY_KEY", KEY)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for film in range(3):
        frames = numbered_frames(range(film * 4, film * 4 + 4), 10)
        (tmp_path / "films").mkdir(exist_ok=True)
        write_mp4(tmp_path / f"films/{film}.mp4", frames, 10, crf=12, preset="ultrafast")
    return tmp_path / "films"


def run(
    films: Path, store: Path, url: str, observer: Any = None, *, retry: bool = False, **settings: Any
) -> RunResult:
    dag = Dag("captions")
    videos = dag.read(ListVideos(root=str(films)), rows_per_part=1).annotate(ProbeVideo())
    clips = videos.annotate(ScanVideo()).annotate(ScoreBoundaries()).expand(FindShots(max_duration_s=0))
    stage = CaptionClip(
        model="toy", endpoint=url, api_key_env="MY_KEY", max_attempts=2, max_concurrent_requests=2, **settings
    )
    dag.save(clips.annotate(stage.on(batch=4)), "captions")
    request = RunRequest("captions.py", {}, str(store))
    return run_dag(
        dag, str(store), executor=Inline(), observer=observer or Quiet(), request=request, retry_errors=retry
    )


def captions(store: Path) -> list[str]:
    plan = read_history(FolderStore(store))
    folder = next(step.folder for step in plan if step.name == "caption_clip")
    names = [f"{folder}/{part_name(number)}" for number in parts_of(plan.store, folder)]
    return [row["caption"] for name in names for row in read_part(plan.store, name).to_pylist()]


def log(store: Path) -> str:
    """The logs of all runs, with wrapped lines joined: the second line of an entry begins with blanks."""
    text = "".join(path.read_text() for path in sorted(store.glob("runs/*/log.txt")))
    return re.sub(r"\n\S+Z {2,}", " ", text)


def test_captions_pause_and_resume_with_the_endpoint(films: Path, tmp_path: Path) -> None:
    repaired = threading.Event()

    def reply(request: Request) -> Reply:
        healthy = request.number < 5 or repaired.is_set()
        return completion(read_number(request.images[0]) if request.jpegs else "Yes.") if healthy else DOWN

    class Repairs(Quiet):
        paused = 0

        def observe(self, schedule: Any) -> None:
            self.paused += bool(schedule.pauses.reasons())
            if self.paused > 3:
                repaired.set()

    observer = Repairs()
    with ChatServer(reply) as server:
        result = run(films, tmp_path / "s", server.url, observer)
        requests = server.requests
    assert result.exit_code == 0
    assert result.funnel.rejected == 0
    assert observer.paused
    assert sorted(captions(tmp_path / "s")) == sorted(number_text(n) for n in range(12))
    log_text = log(tmp_path / "s")
    assert "caption_clip is paused and will be retried: the endpoint of toy does not answer: " in log_text
    assert "the endpoint reports an error (HTTP 500): out of memory" in log_text
    assert "caption_clip continues" in log_text
    first = [read_number(request.images[0]) for request in requests[:5]]
    later = [read_number(request.images[0]) for request in requests[5:] if request.jpegs]
    assert not set(first) & set(later), "answered requests are not sent again"


def test_an_endpoint_that_stays_down_drops_no_row_and_the_next_run_resumes(
    films: Path, tmp_path: Path
) -> None:
    port = closed_port()
    url = f"http://127.0.0.1:{port}/v1"
    with pytest.raises(StageWaits, match="the endpoint of toy does not answer"):
        run(films, tmp_path / "s", url, patience_s=0.2)
    assert captions(tmp_path / "s") == []
    with ChatServer(lambda request: completion(read_number(request.images[0]))) as server:
        result = run(films, tmp_path / "s", server.url)
    assert result.exit_code == 0
    assert result.rows.keys() == {"caption_clip"}, "the first run completed all other steps"
    assert sorted(captions(tmp_path / "s")) == sorted(number_text(n) for n in range(12))


def test_a_clip_without_a_response_is_an_error_and_can_be_retried(films: Path, tmp_path: Path) -> None:
    repaired: list[bool] = []

    def reply(request: Request) -> Reply:
        text = read_number(request.images[0]) if request.jpegs else "Yes."
        return DOWN if text == number_text(6) and not repaired else completion(text)

    with ChatServer(reply) as server:
        result = run(films, tmp_path / "s", server.url)
        assert result.funnel.errors == 1
        assert sorted(captions(tmp_path / "s")) == sorted(number_text(n) for n in range(12) if n != 6)
        assert _rejects(tmp_path / "s") == [
            (
                "error",
                "NoResponse: after 2 attempts: the endpoint reports an error (HTTP 500): out of memory",
            )
        ]
        repaired.append(True)
        before = len(server.requests)
        result = run(films, tmp_path / "s", server.url, retry=True)
        assert len(server.requests) == before + 1
    assert result.funnel.rejected == 0
    assert sorted(captions(tmp_path / "s")) == sorted(number_text(n) for n in range(12))


def _rejects(store: Path) -> list[tuple[str, str]]:
    plan = read_history(FolderStore(store))
    folder = next(step.folder for step in plan if step.name == "caption_clip")
    found: list[tuple[str, str]] = []
    for number in parts_of(plan.store, folder):
        name = read_row_counts(plan.store, f"{folder}/{part_name(number)}").rejects
        rows = read_part(plan.store, f"{folder}/{name}").to_pylist() if name else []
        found += [(row["kind"], row["reason"]) for row in rows]
    return found


NASTY = [
    "nul \x00 and \x1b[31m",
    "🦮" * 500,
    "שלום \u202eعالم",
    "half \ud83d",
    "x" * 100_000,
    '"}], "finish": "',
] * 2


def test_any_text_reaches_the_table_in_the_row_of_its_clip(films: Path, tmp_path: Path) -> None:
    def number(request: Request) -> int:
        return int(read_number(request.images[0]).split()[1])

    with ChatServer(lambda request: completion(f"{number(request)} {NASTY[number(request)]}")) as server:
        assert run(films, tmp_path / "s", server.url).funnel.rejected == 0
    found = {int(text.split()[0]): text for text in captions(tmp_path / "s")}
    assert sorted(found) == list(range(12))
    for n, text in found.items():
        expected = NASTY[n].translate({0: " ", 0x1B: " ", 0xD83D: "?"})
        assert text == f"{n} {expected}"


def test_neither_key_nor_address_is_written(films: Path, tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        if request.jpegs and read_number(request.images[0]) == number_text(3):
            return Reply(f"{KEY} at {request.headers['host']} is wrong".encode(), status=400)
        return (
            completion(read_number(request.images[0])) if request.number else Reply(KEY.encode(), status=401)
        )

    with ChatServer(reply) as server:
        run(films, tmp_path / "s", server.url)
        address = str(server.port)
    texts = _all_texts(tmp_path / "s")
    assert "is wrong" in texts["rejects"]
    assert not [name for name, text in texts.items() if KEY in text]
    assert not [name for name, text in texts.items() if f":{address}" in text]


def test_a_url_in_an_environment_variable_can_be_replayed_from_the_record(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = tmp_path / "s", tmp_path / "other"
    with pytest.raises(ClipmillError, match="MY_URL holds no URL"):
        run(films, store, "env:MY_URL")
    with ChatServer(lambda request: completion(read_number(request.images[0]))) as server:
        monkeypatch.setenv("MY_URL", server.url)
        run(films, store, "env:MY_URL")
        again = dag_of_run(read_history(FolderStore(store)))
        assert again.nodes["caption_clip"].work.settings()["endpoint"] == "env:MY_URL"
        run(films, other, server.url)
    with pytest.raises(ClipmillError, match="does not contain the endpoint"):
        build_plan(dag_of_run(read_history(FolderStore(other))), FolderStore(other), "r")


def _all_texts(store: Path) -> dict[str, str]:
    """Return every file of a store as text; tables are printed."""
    found = {"rejects": str(_rejects(store))}
    for path in (path for path in store.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        if raw[:4] == b"PAR1" and "find_shots" not in str(path):
            import pyarrow.parquet as pq

            table = pq.read_table(pa.BufferReader(raw))
            raw = f"{table.schema.metadata} {table.schema} {table.to_pylist()}".encode()
        found[str(path)] = raw.decode("utf-8", "replace")
    return found
