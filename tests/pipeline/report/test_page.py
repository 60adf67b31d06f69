"""The report: what it shows of a run with stills, a curve and a video, and that no text becomes markup."""

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
from pipeline.history.run_history import Past, read_past
from pipeline.recipes.request import RunRequest
from pipeline.report.markup import Html, el
from pipeline.report.page import render, write_report
from pipeline.run import carry_out

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


def jpeg(grey: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((36, 64, 3), grey, np.uint8))[1])


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
    caption: str = column("what is seen")


class Cut(Expand[Named, Shot]):
    def expand(self, row: Named) -> Iterator[Shot]:
        for start in range(4):
            yield Shot(
                start_s=float(start), end_s=start + 0.5, caption=f"<i>shot {start}</i> of {row.source}"
            )


class Spoken(Row):
    id: str
    caption: str


class Twinned(Row):
    duplicate: bool = column("seen before")
    twin: str | None = column("where")
    shard: Artifact = column("all captions")


class Compare(Survey[Spoken, Twinned]):
    """The second row of all is the twin of the first, or of one that is not here."""

    shipped: str = ""

    def assign(self, rows: Sequence[Spoken], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(self, group: str, rows: Sequence[Spoken], fitted: bytes) -> Iterable[Twinned | Reject]:
        shard = Artifact.of(b"captions", ".tar", name="shards/0 & <1>.tar")
        for place, _ in enumerate(rows):
            yield Twinned(
                duplicate=place == 1, twin=(self.shipped or rows[0].id) if place == 1 else None, shard=shard
            )


class Model(Row):
    curve: Artifact = column("loss by step")
    video: Artifact = column("a sample")


class Learn(Launch[Spoken, Model]):
    def run(self, rows: Iterator[Spoken], work: Path) -> Model:
        losses = [{"step": i, "loss": 2.0 / (i + 1)} for i in range(9)] + [{"step": 9, "loss": float("nan")}]
        text = "\n".join(["no JSON", *map(json.dumps, losses), '{"epoch": 1}'])
        return Model(curve=Artifact.of(text.encode(), ".jsonl"), video=Artifact.of(b"mp4 of a cat", ".mp4"))


def films(shipped: str = "") -> Dag:
    dag = Dag("films & <more>")
    shots = dag.read(Films(), rows_per_part=2).annotate(Scan()).expand(Cut())
    late = shots.keep("start_s < 2.5", because="too <late>").survey(Compare(shipped=shipped))
    kept = late.keep("not duplicate", because="seen already")
    dag.save(kept, "shots")
    dag.save(kept.launch(Learn()), "model")
    return dag


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    store = tmp_path_factory.mktemp("store")
    asked = RunRequest("films.py", {"name": HOSTILE}, str(store))
    outcome = carry_out(films(), str(store), executor=Inline(), watch=Quiet(), asked=asked)
    assert Path(outcome.report).is_file(), outcome.warnings
    return read_past(FolderStore(store))


class Elements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: str) -> None:
    """That names from files are text, and nothing else."""
    seen = Elements(page)
    assert not [tag for tag, _ in seen.found if tag == "script"]
    assert not [a for _, attributes in seen.found for a in attributes if a.startswith("on")]
    assert HOSTILE in seen.text
    assert "<i>shot 0</i>" in seen.text
    assert "films & <more>" in seen.text


def test_no_text_from_a_file_becomes_markup(past: Past) -> None:
    check(render(past))


def test_a_browser_sees_no_script(past: Past, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here; html.parser has looked at the page instead")
    page = Path(write_report(past))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    )
    words = [chromium, *flags.split(), f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert "</html>" in done.stdout
    check(done.stdout)


def test_kept_and_dropped_rows_show_the_still_of_their_span(past: Past) -> None:
    page = render(past)
    greys = []
    for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page):
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        greys.append(round(float(picture.mean()), -1))
    kept, late, twins = greys[:8], greys[8:11], greys[11:]
    assert set(kept) <= {200, 160, 120}
    assert late == [80, 80, 80]  # from 3.0 s to 3.5 s
    assert len(twins) == 2
    text = Elements(page).text
    assert "start_s=3" in text
    assert "duplicate=true" in text
    assert "its twin" in text


def test_a_twin_that_an_earlier_store_shipped_is_not_looked_for(tmp_path: Path) -> None:
    asked = RunRequest("films.py", {}, str(tmp_path))
    outcome = carry_out(films("elsewhere"), str(tmp_path), executor=Inline(), watch=Quiet(), asked=asked)
    assert not [said for said in outcome.warnings if "could not" in said]
    text = Elements(render(read_past(FolderStore(tmp_path)))).text
    assert "duplicate=true" in text
    assert "its twin" not in text


def test_rejects_curve_video_and_shards_are_there(past: Past) -> None:
    page = render(past)
    seen = Elements(page)
    assert "<b>bad.mp4</b> holds no frames" in seen.text
    points = next(a["points"] for tag, a in seen.found if tag == "polyline")
    assert points
    assert len(points.split()) == 9
    assert "2 at first, 0.2222 at last" in seen.text
    video = next(a["src"] for tag, a in seen.found if tag == "video")
    assert video == f"data:video/mp4;base64,{base64.b64encode(b'mp4 of a cat').decode()}"
    shards = [a["href"] for tag, a in seen.found if tag == "a" and str(a["href"]).endswith(".tar")]
    assert shards == [f"../../{past['compare'].folder}/shards/0%20%26%20%3C1%3E.tar"]
    assert "shards/0 & <1>.tar" in seen.text


def test_the_page_needs_nothing_beside_it_and_is_small(past: Past) -> None:
    page = render(past)
    assert not re.findall(r"(?:src|href)=\"https?:", page)
    assert len(page) < 100_000


def test_a_run_that_came_to_nothing_still_has_a_report(past: Past, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for name in ("plan.json", "asked.json"):
        store.create(f"runs/{past.run}/{name}", past.store.read(f"runs/{past.run}/{name}"))
    bare = read_past(store)
    text = Elements(Path(write_report(bare)).read_text()).text
    assert "not finished: 0 of ? parts" in text
    assert "Stills" not in text or "kept to the end" not in text
    with pytest.raises(PipelineError, match="no run is recorded"):
        write_report(Past(store, "", "", {}, {}))


def test_only_markup_is_left_unescaped() -> None:
    inner = el("b", "<", title='"')
    assert inner == '<b title="&quot;">&lt;</b>'
    assert el("p", inner, "&", class_="x", hidden=None) == f'<p class="x">{inner}&amp;</p>'
    assert isinstance(inner, Html)
