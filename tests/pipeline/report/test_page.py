"""The report of a run with stills, a curve and a video; text from files never becomes markup."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from toys import Quiet

from manifests import Artifact, Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag, Expand, Launch, Reject, Source, Survey
from pipeline.errors import PipelineError
from pipeline.executors.inline import Inline
from pipeline.history.run_history import RunHistory, read_history
from pipeline.recipes.request import RunRequest
from pipeline.report.markup import Html, el
from pipeline.report.page import render, write_report
from pipeline.run import run_dag

HOSTILE = "<script>alert(1)</script>.mp4"
QUOTED = "\"onmouseover='alert(2)'&amp;\u202e.mp4"
NAMES = (HOSTILE, QUOTED, "plain.mp4", "bad.mp4")


class Film(Row):
    id: str = column("made from the name")
    source: str = column("its name")


class Films(Source[Film]):
    def rows(self) -> Iterator[Film]:
        for name in NAMES:
            yield Film(id=id_of(name), source=name)


class Named(Row):
    source: str


class Scanned(Row):
    strip: Artifact = column("stills")
    strip_times_s: tuple[float, ...] = column("when", unit="s")
    strip_offsets: tuple[int, ...] = column("where")


def jpeg(gray: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((36, 64, 3), gray, np.uint8))[1])


class Scan(Annotate[Named, Scanned]):
    """Four stills a second apart, each darker than the last."""

    def annotate(self, rows: Sequence[Named]) -> Iterable[Scanned | Reject]:
        for row in rows:
            if row.source == "bad.mp4":
                yield Reject(f"<b>{row.source}</b> holds no frames")
                continue
            stills = [jpeg(200 - 40 * i) for i in range(4)]
            offsets = tuple(sum(map(len, stills[:i])) for i in range(4))
            strip = Artifact.of(b"".join(stills), ".jpegs")
            yield Scanned(strip=strip, strip_times_s=(0.0, 1.0, 2.0, 3.0), strip_offsets=offsets)


class Shot(Row):
    start_s: float = column("start", unit="s", key=True)
    end_s: float = column("end", unit="s")
    caption: str = column("description")


class Cut(Expand[Named, Shot]):
    def expand(self, row: Named) -> Iterator[Shot]:
        for start in range(4):
            yield Shot(
                start_s=float(start), end_s=start + 0.5, caption=f"<i>shot {start}</i> of {row.source}"
            )


class Spoken(Row):
    id: str
    caption: str


class DuplicateDecision(Row):
    duplicate: bool = column("seen before")
    duplicate_of: str | None = column("id of the row that it repeats")
    shard: Artifact = column("all captions")


class Compare(Survey[Spoken, DuplicateDecision]):
    """The second row of all is a duplicate of the first, or of one that is not here."""

    released_id: str = ""

    def assign(self, rows: Sequence[Spoken], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(
        self, group: str, rows: Sequence[Spoken], fitted: bytes
    ) -> Iterable[DuplicateDecision | Reject]:
        shard = Artifact.of(b"captions", ".tar", name="shards/0 & <1>.tar")
        for place, _ in enumerate(rows):
            better = (self.released_id or rows[0].id) if place == 1 else None
            yield DuplicateDecision(duplicate=place == 1, duplicate_of=better, shard=shard)


class Model(Row):
    curve: Artifact = column("loss by step")
    video: Artifact = column("a sample")


class Learn(Launch[Spoken, Model]):
    def run(self, rows: Iterator[Spoken], work: Path) -> Model:
        losses = [{"step": i, "loss": 2.0 / (i + 1)} for i in range(9)] + [{"step": 9, "loss": float("nan")}]
        text = "\n".join(["no JSON", *map(json.dumps, losses), '{"epoch": 1}'])
        return Model(curve=Artifact.of(text.encode(), ".jsonl"), video=Artifact.of(b"mp4 of a cat", ".mp4"))


def films(released_id: str = "") -> Dag:
    dag = Dag("films & <more>")
    shots = dag.read(Films(), rows_per_part=2).annotate(Scan()).expand(Cut())
    late = shots.keep("start_s < 2.5", because="too <late>").survey(Compare(released_id=released_id))
    kept = late.keep("not duplicate", because="seen already")
    dag.save(kept, "shots")
    dag.save(kept.launch(Learn()), "model")
    return dag


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    store = tmp_path_factory.mktemp("store")
    request = RunRequest("films.py", {"name": HOSTILE}, str(store))
    result = run_dag(films(), str(store), executor=Inline(), observer=Quiet(), request=request)
    assert Path(result.report).is_file(), result.warnings
    return read_history(FolderStore(store))


class Elements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: str) -> None:
    """Check that names from files are text only."""
    elements = Elements(page)
    assert not [tag for tag, _ in elements.tags if tag == "script"]
    assert not [a for _, attributes in elements.tags for a in attributes if a.startswith("on")]
    assert HOSTILE in elements.text
    assert "<i>shot 0</i>" in elements.text
    assert "films & <more>" in elements.text


def test_no_text_from_a_file_becomes_markup(history: RunHistory) -> None:
    check(render(history))


def test_a_browser_sees_no_script(history: RunHistory, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed; html.parser has checked the page instead")
    page = Path(write_report(history))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    )
    words = [chromium, *flags.split(), f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert "</html>" in done.stdout
    check(done.stdout)


def test_kept_and_dropped_rows_show_the_still_of_their_span(history: RunHistory) -> None:
    page = render(history)
    grays = []
    for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page):
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        grays.append(round(float(image.mean()), -1))
    kept, late, duplicates = grays[:8], grays[8:11], grays[11:]
    assert set(kept) <= {200, 160, 120}
    assert late == [80, 80, 80]  # from 3.0 s to 3.5 s
    assert len(duplicates) == 2
    text = Elements(page).text
    assert "start_s=3" in text
    assert "duplicate=true" in text
    assert "duplicate of" in text


def test_a_duplicate_of_a_released_clip_is_not_looked_up(tmp_path: Path) -> None:
    request = RunRequest("films.py", {}, str(tmp_path))
    result = run_dag(films("elsewhere"), str(tmp_path), executor=Inline(), observer=Quiet(), request=request)
    assert not [line for line in result.warnings if "could not" in line]
    text = Elements(render(read_history(FolderStore(tmp_path)))).text
    assert "duplicate=true" in text
    assert "duplicate of" not in text


def test_the_report_contains_rejects_curve_video_and_shards(history: RunHistory) -> None:
    page = render(history)
    elements = Elements(page)
    assert "<b>bad.mp4</b> holds no frames" in elements.text
    points = next(a["points"] for tag, a in elements.tags if tag == "polyline")
    assert points
    assert len(points.split()) == 9
    assert "loss 2 first, 0.2222 last" in elements.text
    video = next(a["src"] for tag, a in elements.tags if tag == "video")
    assert video == f"data:video/mp4;base64,{base64.b64encode(b'mp4 of a cat').decode()}"
    shards = [a["href"] for tag, a in elements.tags if tag == "a" and str(a["href"]).endswith(".tar")]
    assert shards == [f"../../{history['compare'].folder}/shards/0%20%26%20%3C1%3E.tar"]
    assert "shards/0 & <1>.tar" in elements.text


def test_the_page_is_self_contained_and_small(history: RunHistory) -> None:
    page = render(history)
    assert not re.findall(r"(?:src|href)=\"https?:", page)
    assert len(page) < 100_000


def test_a_run_without_results_has_a_report(history: RunHistory, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for name in ("plan.json", "request.json"):
        store.create(f"runs/{history.run}/{name}", history.store.read(f"runs/{history.run}/{name}"))
    bare = read_history(store)
    text = Elements(Path(write_report(bare)).read_text()).text
    assert "not finished: 0 of ? parts" in text
    assert "Stills" not in text or "kept to the end" not in text
    with pytest.raises(PipelineError, match="no run is recorded"):
        write_report(RunHistory(store, "", "", {}, {}))


def test_only_markup_is_left_unescaped() -> None:
    inner = el("b", "<", title='"')
    assert inner == '<b title="&quot;">&lt;</b>'
    assert el("p", inner, "&", class_="x", hidden=None) == f'<p class="x">{inner}&amp;</p>'
    assert isinstance(inner, Html)
