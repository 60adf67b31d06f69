"""The report of a run: one self-contained file. Its data are complete, escaped, and sampled if too many."""

import base64
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from filming import FOREIGN, HOSTILE, QUOTED, animation, films
from toys import Quiet

from manifests.stores.folder import FolderStore
from pipeline.errors import PipelineError
from pipeline.executors.inline import Inline
from pipeline.history.run_history import RunHistory, read_history
from pipeline.recipes.request import RunRequest
from pipeline.report import clips as clips_module
from pipeline.report import page as page_module
from pipeline.report.page import render, report_data, to_script_json, write_report
from pipeline.run import run_dag


def run_films(store: Path, released_id: str = "") -> RunHistory:
    request = RunRequest("films.py", {"name": HOSTILE}, str(store))
    result = run_dag(films(released_id), str(store), executor=Inline(), observer=Quiet(), request=request)
    assert Path(result.report).is_file(), result.warnings
    return read_history(FolderStore(store))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    return run_films(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def page(history: RunHistory) -> str:
    return render(history)


@pytest.fixture(scope="module")
def data(page: str) -> Any:
    """The data as a browser reads them."""
    return json.loads(Elements(page).scripts[0])


class Elements(HTMLParser):
    """The elements of a page, and the content of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.is_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.is_script = tag == "script"
        self.scripts += [""] if self.is_script else []

    def handle_data(self, data: str) -> None:
        if self.is_script:
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.is_script = False


def rows_of(data: Any, kind: str, step: str = "") -> list[int]:
    clips = data["clips"]
    number = clips["outcomes"].index({"kind": kind, "step": step})
    return [row for row, outcome in enumerate(clips["outcome"]) if outcome == number]


def gray(data: Any, row: int) -> float:
    webp = base64.b64decode(data["clips"]["stills"][str(row)])
    image = cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return float(image.mean())


def test_no_text_from_a_file_becomes_markup(page: str, data: Any) -> None:
    elements = Elements(page)
    assert len(elements.scripts) == 3  # the data, the library and the scripts of the page
    assert not [a for _, attributes in elements.tags for a in attributes if a.startswith("on")]
    assert {tag for tag, _ in elements.tags} <= {
        "html", "head", "meta", "title", "style", "body", "noscript", "a", "header", "main", "script",
    }  # fmt: skip
    names = data["videos"]["name"]
    assert HOSTILE in names
    assert FOREIGN in names
    assert QUOTED.replace("\u202e", "\\u202e") in names  # a control character is shown as its escape


def test_the_policy_allows_only_the_styles_and_scripts_of_the_page(page: str) -> None:
    policy = unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    contents = [*Elements(page).scripts[1:], re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in contents]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert not re.findall(r"(?:src|href|url)[=(]\"?(?:https?:)?//", page)
    assert "eval(" not in page
    assert "new Function" not in page


def test_the_library_is_the_pinned_version() -> None:
    vendor = Path(page_module.__file__).parent / "web" / "vendor"
    lines = (vendor / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert "uPlot 1.6.32" in (vendor / "VERSION.txt").read_text()
    assert "v1.6.32" in (vendor / "uPlot.iife.min.js").read_text()[:200]
    makefile = Path(page_module.__file__).parents[2] / "Makefile"
    assert "uplot@1.6.32" in makefile.read_text()


def test_json_cannot_end_its_script() -> None:
    text = to_script_json({"a": "</script><!--"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_script_json(float("nan"))


def test_every_clip_has_its_outcome_and_reason(data: Any) -> None:
    clips = data["clips"]
    assert clips["total"] == len(clips["id"]) == 12
    assert [clips["values"]["noise"][r] for r in rows_of(data, "dropped", "noisy")] == [2.0, 2.25, 2.5]
    late = rows_of(data, "dropped", "too_late")
    assert {clips["reason"][str(row)] for row in late} == {"start_s=3"}
    assert len(rows_of(data, "kept")) == 5
    assert clips["outcomes"][0] == {"kind": "kept", "step": ""}
    assert data["labels"]["too_late"] == "too <late>"


def test_clips_show_the_still_of_their_span_and_play(data: Any) -> None:
    for row in rows_of(data, "dropped", "too_late"):  # from 3.0 s to 3.5 s
        assert gray(data, row) == pytest.approx(70, abs=3)
    for row in rows_of(data, "kept"):
        start = data["clips"]["values"]["start_s"][row]
        assert gray(data, row) == pytest.approx(190 - 40 * start, abs=3)
        preview = base64.b64decode(data["clips"]["previews"][str(row)])
        assert preview[8:12] == b"WEBP"
        # The stills at 0 and 0.25 s of the span; the second film has previews that the run made.
        is_made = data["clips"]["values"]["noise"][row] >= 1
        assert preview == animation() if is_made else preview.count(b"ANMF") == 2


def test_a_duplicate_is_beside_its_original(data: Any, tmp_path: Path) -> None:
    [(row, original)] = data["clips"]["originals"]
    assert row in rows_of(data, "dropped", "seen_already")
    assert data["clips"]["values"]["duplicate_of"][row] == data["clips"]["id"][original]
    elsewhere = report_data(run_films(tmp_path, "elsewhere"))
    assert elsewhere["clips"]["originals"] == []


def test_pairs_get_their_stills_first(history: RunHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips_module, "_STILL_BYTES", 2)  # a still is added while a byte is left
    clips = report_data(history)["clips"]
    assert clips["originals"]
    assert set(clips["stills"]) == {min(clips["originals"][0])}


def test_hours_and_the_funnel_add_up(data: Any) -> None:
    hours = data["hours"]
    assert hours["in"] * 3600 == pytest.approx(20)
    assert hours["out"] * 3600 == pytest.approx(2.5)
    flow = {(part["unit"], part["step"]): part for part in hours["flow"]}
    assert flow["clips", "noisy"]["hours"] * 3600 == pytest.approx(1.5)
    assert flow["videos", "scan"]["rows"] == 1
    assert sum(part["hours"] for part in hours["flow"]) + hours["rest"] == pytest.approx(hours["in"])
    lines = {line["step"]: line for line in data["funnel"]}
    assert lines["no_caption"]["quiet"]  # it dropped nothing
    assert lines["noisy"]["dropped"] == 3
    assert not lines["noisy"]["quiet"]
    assert lines["scan"]["rejected"] == 1


def test_rejects_curve_video_and_shards_are_there(history: RunHistory, data: Any) -> None:
    [step] = data["rejects"]
    assert step["rows"][0]["reason"] == "<b>bad.mp4</b> holds no frames"
    [curve] = data["curves"]
    assert curve["x"] == list(range(9))
    assert curve["series"][0] == {
        "name": "loss",
        "y": pytest.approx([2 / (i + 1) for i in range(9)], rel=1e-5),
    }
    [sample] = data["samples"]
    assert sample["data"] == f"data:video/mp4;base64,{base64.b64encode(b'mp4 of a cat').decode()}"
    links = [
        f["link"] for step in data["files"]["steps"] for f in step["files"] if f["link"].endswith(".tar")
    ]
    assert links == [f"../../{history['compare'].folder}/shards/0%20%26%20%3C1%3E.tar"]


def test_the_map_is_a_projection_of_the_embeddings(data: Any) -> None:
    points = np.array([data["map"]["x"], data["map"]["y"]]).T
    assert len(points) == 12
    values, rows = data["clips"]["values"], data["map"]["rows"]
    noise, start = (np.array(values[name])[rows] for name in ("noise", "start_s"))
    vectors = np.array([noise - 0.25 * start, start]).T
    distances = [np.linalg.norm(a[:, None] - a[None], axis=2) for a in (points, vectors)]
    assert np.allclose(*distances, atol=1e-3)  # two values vary, so the projection keeps all distances
    assert "explain 100% of" in data["map"]["method"]


def test_a_large_table_is_sampled_and_says_so(history: RunHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips_module, "MAX_CLIPS", 6)
    data = report_data(history)
    clips = data["clips"]
    counted = len(clips["id"]) - clips["extra"]
    assert clips["total"] == 12
    assert 4 <= counted <= 6
    assert data["hours"]["estimated"]
    columns = [*clips["values"].values(), clips["outcome"], clips["borderline"], data["videos"]["of_clip"]]
    assert {len(column) for column in columns} == {len(clips["id"])}
    for row, original in clips["originals"]:  # a original outside the sample was added
        assert clips["values"]["duplicate_of"][row] == clips["id"][original]


def test_the_page_is_small(page: str) -> None:
    assert len(page) < 300_000


def test_a_run_without_results_has_a_report(history: RunHistory, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for name in ("plan.json", "request.json"):
        store.create(f"runs/{history.run}/{name}", history.store.read(f"runs/{history.run}/{name}"))
    bare = read_history(store)
    data = json.loads(Elements(Path(write_report(bare)).read_text()).scripts[0])
    assert {line["note"] for line in data["funnel"]} == {"not finished: 0 of ? parts"}
    assert data["clips"]["id"] == []
    with pytest.raises(PipelineError, match="no run is recorded"):
        write_report(RunHistory(store, "", "", {}, {}))
