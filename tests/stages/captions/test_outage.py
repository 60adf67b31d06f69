"""An endpoint that goes down in the middle: captions pause, nothing is dropped, and no secret is written."""

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chat_server import Asked, ChatServer, Reply, closed_port, said
from numbered import film_of, read, words
from toys import Quiet

from manifests import ClipmillError
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline import Dag
from pipeline.errors import StageWaits
from pipeline.executors.inline import Inline
from pipeline.engine.replay import dag_of_run
from pipeline.history.run_history import read_past
from pipeline.planning.plan import plan_of
from pipeline.recipes.request import Asked as Command
from pipeline.run import Outcome, carry_out
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
    monkeypatch.setattr("stages.captions.endpoint._FIRST_S", 0.01)
    monkeypatch.setattr("stages.captions.endpoint._RETRY_S", 0.05)
    monkeypatch.setenv("MY_KEY", KEY)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for film in range(3):
        frames = film_of(range(film * 4, film * 4 + 4), 10)
        (tmp_path / "films").mkdir(exist_ok=True)
        write_mp4(tmp_path / f"films/{film}.mp4", frames, 10, crf=12, preset="ultrafast")
    return tmp_path / "films"


def run(films: Path, store: Path, url: str, watch: Any = None, *, retry: bool = False, **how: Any) -> Outcome:
    dag = Dag("captions")
    videos = dag.read(ListVideos(root=str(films)), rows_per_part=1).annotate(ProbeVideo())
    clips = videos.annotate(ScanVideo()).annotate(ScoreBoundaries()).expand(FindShots(max_duration_s=0))
    asks = CaptionClip(model="toy", endpoint=url, key_env="MY_KEY", tries=2, at_once=2, **how)
    dag.save(clips.annotate(asks.on(batch=4)), "captions")
    asked = Command("captions.py", {}, str(store))
    return carry_out(dag, str(store), executor=Inline(), watch=watch or Quiet(), asked=asked, retry=retry)


def captions(store: Path) -> list[str]:
    plan = read_past(FolderStore(store))
    folder = next(step.folder for step in plan if step.name == "caption_clip")
    names = [f"{folder}/{part_name(number)}" for number in parts_of(plan.store, folder)]
    return [row["caption"] for name in names for row in read_part(plan.store, name).to_pylist()]


def log(store: Path) -> str:
    return "".join(path.read_text() for path in sorted(store.glob("runs/*/log.txt")))


def test_captions_pause_and_go_on_when_it_is_back(films: Path, tmp_path: Path) -> None:
    back = threading.Event()

    def reply(asked: Asked) -> Reply:
        healthy = asked.number < 5 or back.is_set()
        return said(read(asked.pictures[0]) if asked.jpegs else "Yes.") if healthy else DOWN

    class Repairs(Quiet):
        paused = 0

        def look(self, schedule: Any) -> None:
            self.paused += bool(schedule.pauses.told())
            if self.paused > 3:
                back.set()

    watch = Repairs()
    with ChatServer(reply) as server:
        outcome = run(films, tmp_path / "s", server.url, watch)
        seen = server.seen
    assert outcome.exit_code == 0
    assert outcome.funnel.rejected == 0
    assert watch.paused
    assert sorted(captions(tmp_path / "s")) == sorted(words(n) for n in range(12))
    told = log(tmp_path / "s")
    assert "caption_clip pauses, and is tried again: the endpoint of toy does not answer: HTTP 500" in told
    assert "caption_clip goes on" in told
    asked_well = [read(asked.pictures[0]) for asked in seen[:5]]
    later = [read(asked.pictures[0]) for asked in seen[5:] if asked.jpegs]
    assert not set(asked_well) & set(later), "what was answered is not asked again"


def test_one_that_stays_down_drops_nothing_and_the_next_run_goes_on(films: Path, tmp_path: Path) -> None:
    port = closed_port()
    url = f"http://127.0.0.1:{port}/v1"
    with pytest.raises(StageWaits, match="the endpoint of toy does not answer"):
        run(films, tmp_path / "s", url, patience_s=0.2)
    assert captions(tmp_path / "s") == []
    with ChatServer(lambda asked: said(read(asked.pictures[0]))) as server:
        outcome = run(films, tmp_path / "s", server.url)
    assert outcome.exit_code == 0
    assert outcome.rows.keys() == {"caption_clip"}, "all else was done by the first run"
    assert sorted(captions(tmp_path / "s")) == sorted(words(n) for n in range(12))


def test_a_clip_that_nobody_could_caption_is_set_aside_and_asked_again_on_request(
    films: Path, tmp_path: Path
) -> None:
    healed: list[bool] = []

    def reply(asked: Asked) -> Reply:
        text = read(asked.pictures[0]) if asked.jpegs else "Yes."
        return DOWN if text == words(6) and not healed else said(text)

    with ChatServer(reply) as server:
        outcome = run(films, tmp_path / "s", server.url)
        assert outcome.funnel.rejected == 1
        assert sorted(captions(tmp_path / "s")) == sorted(words(n) for n in range(12) if n != 6)
        assert _rejects(tmp_path / "s") == [("error", "Unanswered: after 2 tries: HTTP 500")]
        healed.append(True)
        before = len(server.seen)
        outcome = run(films, tmp_path / "s", server.url, retry=True)
        assert len(server.seen) == before + 1
    assert outcome.funnel.rejected == 0
    assert sorted(captions(tmp_path / "s")) == sorted(words(n) for n in range(12))


def _rejects(store: Path) -> list[tuple[str, str]]:
    plan = read_past(FolderStore(store))
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


def test_any_text_comes_through_to_the_table_and_beside_no_other_clip(films: Path, tmp_path: Path) -> None:
    def number(asked: Asked) -> int:
        return int(read(asked.pictures[0]).split()[1])

    with ChatServer(lambda asked: said(f"{number(asked)} {NASTY[number(asked)]}")) as server:
        assert run(films, tmp_path / "s", server.url).funnel.rejected == 0
    found = {int(text.split()[0]): text for text in captions(tmp_path / "s")}
    assert sorted(found) == list(range(12))
    for n, text in found.items():
        kept = NASTY[n].translate({0: " ", 0x1B: " ", 0xD83D: "?"})
        assert text == f"{n} {kept}"


def test_neither_key_nor_address_is_written_where_it_does_not_belong(films: Path, tmp_path: Path) -> None:
    def reply(asked: Asked) -> Reply:
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        if asked.jpegs and read(asked.pictures[0]) == words(3):
            return Reply(f"{KEY} at {asked.headers['host']} is wrong".encode(), status=400)
        return said(read(asked.pictures[0])) if asked.number else Reply(KEY.encode(), status=401)

    with ChatServer(reply) as server:
        run(films, tmp_path / "s", server.url)
        address = str(server.port)
    texts = _all_texts(tmp_path / "s")
    assert "is wrong" in texts["rejects"]
    assert not [name for name, text in texts.items() if KEY in text]
    assert not [name for name, text in texts.items() if f":{address}" in text]


def test_an_address_that_a_variable_holds_can_be_run_again_from_the_record(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = tmp_path / "s", tmp_path / "other"
    with pytest.raises(ClipmillError, match="MY_URL holds no URL"):
        run(films, store, "env:MY_URL")
    with ChatServer(lambda asked: said(read(asked.pictures[0]))) as server:
        monkeypatch.setenv("MY_URL", server.url)
        run(films, store, "env:MY_URL")
        again = dag_of_run(read_past(FolderStore(store)))
        assert again.nodes["caption_clip"].work.settings()["endpoint"] == "env:MY_URL"
        run(films, other, server.url)
    with pytest.raises(ClipmillError, match="stands in no record"):
        plan_of(dag_of_run(read_past(FolderStore(other))), FolderStore(other), "r")


def _all_texts(store: Path) -> dict[str, str]:
    """Every file of a store as text, tables spelt out."""
    found = {"rejects": str(_rejects(store))}
    for path in (path for path in store.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        if raw[:4] == b"PAR1" and "find_shots" not in str(path):
            import pyarrow.parquet as pq

            table = pq.read_table(pa.BufferReader(raw))
            raw = f"{table.schema.metadata} {table.schema} {table.to_pylist()}".encode()
        found[str(path)] = raw.decode("utf-8", "replace")
    return found
