"""The report in headless Chromium: sliders, search, sort, play, pages, phone width, dark mode and keys."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filming import FOREIGN, HOSTILE, MAX_NOISE, NAMES, QUOTED, films
from toys import Quiet

from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.recipes.request import RunRequest
from pipeline.report.page import write_report
from pipeline.run import run_dag

TABS = ("overview", "thresholds", "clips", "map", "videos", "rejected", "training", "run")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the toy films, as of a recipe with the knob max_noise."""
    store = tmp_path_factory.mktemp("store")
    request = RunRequest("films.py", {"name": HOSTILE}, str(store))
    run_dag(films(), str(store), executor=Inline(), observer=Quiet(), request=request)
    [record] = store.glob("runs/*/request.json")
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "knob_defaults": {"max_noise": str(MAX_NOISE)}}))
    return Path(write_report(read_history(FolderStore(store))))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'"
    )
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """One page with the messages of its console and the requests that it made."""

    def __init__(self, browser: Any, report: Path, width: int = 1280, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        self.page = context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", lambda request: self.faults.append(request.url[:90]))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.url = report.as_uri()
        self.page.goto(self.url)
        self.requests_at_start = self.faults.pop(0)

    def open(self, route: str) -> Any:
        self.page.evaluate("route => { location.hash = route }", route)
        self.until_shown(route)
        return self.page

    def until_shown(self, route: str) -> None:
        """Wait until the page of a route is drawn: the address changes before it."""
        self.until("route => document.body.dataset.route === route", route)

    def until(self, condition: str, arg: object = None) -> None:
        """Wait for a condition. Playwright's own wait evaluates text, which the page forbids."""
        for _ in range(500):
            if self.page.evaluate(condition, arg):
                return
            self.page.wait_for_timeout(10)
        raise AssertionError(f"this did not become true: {condition}")

    def check(self) -> None:
        """Check that nothing was requested but the file and the pictures and videos inside it."""
        assert self.requests_at_start == self.url[:90]
        assert [f for f in self.faults if not f.startswith(("data:image/webp;base64,", "data:video/"))] == []


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    visit = Visit(browser, report)
    yield visit
    visit.page.context.close()
    visit.check()


def test_a_slider_counts_what_another_threshold_keeps(visit: Visit) -> None:
    page = visit.open("thresholds")
    noise = page.locator("[data-rule=noisy]")
    assert noise.locator("output").inner_text() == "8 of 12 clips with this score pass"
    assert page.locator(".kept-total").inner_text() == "5"
    assert "max_noise=2" in noise.locator(".setting").inner_text()
    noise.locator("input[type=range]").evaluate(
        "(slider) => { slider.value = 2.3; slider.dispatchEvent(new Event('input')) }"
    )
    # The third film has noise 2, 2.25, 2.5 and 2.75: two more pass. Both start early enough.
    assert noise.locator("output").inner_text() == "10 of 12 clips with this score pass (+2)"
    assert page.locator(".kept-total").inner_text() == "7"
    assert noise.locator(".setting code").inner_text() == "max_noise=2.3"
    assert page.locator(".summary code").inner_text() == "max_noise=2.3"
    noise.locator("input[type=number]").fill("0.4")
    noise.locator("input[type=number]").press("Enter")
    assert noise.locator("output").inner_text() == "2 of 12 clips with this score pass (−6)"
    stored = json.loads(page.locator("#data").text_content())["clips"]
    kinds = [stored["outcomes"][number]["kind"] for number in stored["outcome"]]
    kept = sum(k == "kept" and n < 0.4 for k, n in zip(kinds, stored["values"]["noise"], strict=True))
    assert page.locator(".kept-total").inner_text() == str(kept)
    page.get_by_role("button", name="Reset").click()
    assert page.locator(".kept-total").inner_text() == "5"
    # A rule on a column that no knob names shows the comparison.
    assert "start_s < 2.5" in page.locator("[data-column=start_s] .setting").inner_text()


def test_a_slider_of_a_rule_on_groups_drops_whole_groups(visit: Visit) -> None:
    page = visit.open("thresholds")
    page.get_by_text("threshold of rules that dropped nothing").click()
    card = page.locator("[data-rule=a_shot_of_the_film_is_silent]")
    card.locator("input[type=number]").fill("0.1")
    card.locator("input[type=number]").press("Enter")
    assert card.locator("output").inner_text() == "11 of 12 clips with this score pass (−1)"
    # Only the first shot of the first film is too quiet, but all shots of this film go.
    stored = json.loads(page.locator("#data").text_content())["clips"]
    kinds = [stored["outcomes"][number]["kind"] for number in stored["outcome"]]
    kept = sum(k == "kept" and n >= 1 for k, n in zip(kinds, stored["values"]["noise"], strict=True))
    assert page.locator(".kept-total").inner_text() == str(kept)


def test_a_slider_moves_by_keys(visit: Visit) -> None:
    page = visit.open("thresholds")
    slider = page.locator("[data-rule=noisy] input[type=range]")
    slider.focus()
    before = float(slider.input_value())
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert float(slider.input_value()) < before
    assert page.locator(".summary code").inner_text() != "max_noise=2"


def test_search_and_sort_find_clips(visit: Visit) -> None:
    page = visit.open("clips/all")
    assert page.locator(".card").count() == 12
    page.get_by_role("searchbox").fill("SHOT 2</I>")
    visit.until("document.querySelectorAll('.card').length === 3")
    assert "3 of 12 clips match" in page.get_by_role("status").inner_text()
    page.get_by_role("searchbox").fill("nothing like this")
    visit.until("document.querySelectorAll('.card').length === 0")
    page.get_by_role("searchbox").fill("")
    visit.until("document.querySelectorAll('.card').length === 12")
    page.get_by_label("Sort by").select_option("=noise")
    assert "noise 2.75" in page.locator(".card").first.inner_text()
    page.get_by_role("button", name="Reverse the order").click()
    assert "noise 0" in page.locator(".card").first.inner_text()


def test_a_table_sorts_by_a_column(visit: Visit) -> None:
    page = visit.open("clips/all")
    page.get_by_role("button", name="Table").click()
    page.get_by_role("button", name="noise", exact=True).click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("noise")
    column = [text.startswith("noise") for text in page.locator("th").all_inner_texts()].index(True)
    cells = f"tbody tr td:nth-child({column + 1})"
    values = [float(text) for text in page.locator(cells).all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert len(values) == 12


def test_groups_count_and_play_on_hover_and_focus(visit: Visit) -> None:
    page = visit.open("clips/dropped-noisy")
    assert page.locator(".card").count() == 3
    assert "3 clips; 3 with a still, 3 of these play." in page.get_by_role("status").inner_text()
    assert "noise < 2.0" in page.locator("main").inner_text()
    card = page.locator(".card").first
    still = card.locator("img").get_attribute("src")
    card.hover()
    visit.until("document.querySelector('.card .picture').classList.contains('playing')")
    assert card.locator("img").get_attribute("src") != still
    page.mouse.move(0, 0)
    visit.until("!document.querySelector('.card .picture').classList.contains('playing')")
    assert card.locator("img").get_attribute("src") == still
    card.focus()
    visit.until("document.querySelector('.card .picture').classList.contains('playing')")
    assert card.locator("img").evaluate("(image) => image.naturalWidth") == 64


def test_borderline_clips_and_duplicates_beside_their_originals(visit: Visit) -> None:
    page = visit.open("clips/borderline")
    assert page.locator(".card").count() == 1  # noise 2.0 is dropped; 1.75 is further than 10 % from 2
    assert "noise 2 (< 2)" in page.locator(".card").inner_text()
    visit.open("clips/duplicates")
    pair = page.locator(".pair .card")
    assert [card.locator(".badge").inner_text() for card in pair.all()] == ["seen already", "kept"]


def test_each_video_and_clip_has_a_page(visit: Visit) -> None:
    page = visit.open(f"video/{id_of(HOSTILE)}")
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator(".track a").count() == 4
    page.locator(".track a").nth(2).click()
    page.wait_for_selector("h1:has-text('Clip')")
    assert "<i>shot 2</i>" in page.locator("blockquote").inner_text()
    assert "clipmill explain" in page.locator("main").inner_text()
    page.go_back()
    page.wait_for_selector(".track")
    visit.open(f"video/{id_of('bad.mp4')}")
    assert "<b>bad.mp4</b> holds no frames" in page.locator(".alert").inner_text()
    visit.open("video/none")
    assert "does not contain" in page.locator("main").inner_text()


def test_hostile_names_are_shown_as_they_are(visit: Visit) -> None:
    page = visit.open("videos")
    names = page.locator("tbody td:first-child").all_inner_texts()
    assert set(names) == {HOSTILE, QUOTED.replace("\u202e", "\\u202e"), FOREIGN, NAMES[3]}
    assert page.locator("main script").count() == 0
    visit.open("overview")
    assert page.locator("h1").inner_text() == "films & <more>"


def test_the_overview_says_where_the_hours_went(visit: Visit) -> None:
    page = visit.open("overview")
    tiles = page.locator(".tile").all_inner_texts()
    assert any("20 s" in text and "4 videos" in text for text in tiles)
    assert any("2.5 s" in text and "5 clips" in text for text in tiles)
    funnel = page.locator(".funnel").inner_text()
    assert "3 dropped" in funnel
    assert "no_caption" not in funnel
    assert "2 rules dropped nothing" in page.locator("summary").inner_text()
    visit.open("training")
    assert page.locator(".plot canvas").count() == 1
    assert "first 2, last 0.2222" in page.locator("main").inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_every_page_fits_its_width_and_has_its_theme(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    visit = Visit(browser, report, width, scheme)
    page = visit.page
    for tab in (*TABS, f"video/{id_of(HOSTILE)}"):
        visit.open(tab)
        assert page.locator("h1").count() == 1, tab
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 27)"
    assert dark == (scheme == "dark")
    page.get_by_role("button", name="Dark theme").click()
    assert (page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 27)") != dark
    page.context.close()
    visit.check()


def test_keys_reach_everything(visit: Visit) -> None:
    page = visit.open("overview")
    page.keyboard.press("3")
    visit.until_shown("clips")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("Escape")
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Clip')")
    first = page.evaluate("location.hash")
    page.keyboard.press("ArrowRight")
    visit.until("first => location.hash !== first", first)
    visit.open("map")
    page.locator(".map").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".map-side .card").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_script_from_elsewhere_does_not_run(visit: Visit) -> None:
    page = visit.open("overview")
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s) }"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in fault for fault in visit.faults)
    visit.faults.clear()


def test_a_run_without_work_states_no_speed(browser: Any, tmp_path: Path) -> None:
    request = RunRequest("films.py", {}, str(tmp_path))
    for has_worked in (True, False):
        run_dag(films(), str(tmp_path), executor=Inline(), observer=Quiet(), request=request)
        text = Visit(browser, Path(write_report(read_history(FolderStore(tmp_path))))).page.inner_text("body")
        assert ("real time; the run took" in text) == has_worked
        assert ("all results are of earlier runs" in text) != has_worked
