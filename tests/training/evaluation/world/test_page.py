"""The page of evaluate world in headless Chromium: tables, curves, and films that play together."""

import shutil
from pathlib import Path

import pytest

from training.cli import main


@pytest.mark.slow
def test_the_page_shows_tables_curves_and_films(push_films: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    page_file = tmp_path / "world.html"
    folders = ["--videos", str(push_films / "made"), "--reference", str(push_films / "truth")]
    options = ["--metrics", "psnr,objects,sampson", "--object", "puck=200,40,40", "--html", str(page_file)]
    further = ["--compare", f"<b>other</b>={push_films / 'shuffled'}"]
    assert main(["evaluate", "world", *folders, *options, *further]) == 0
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, scheme in ((390, "dark"), (1280, "light")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            faults: list[str] = []
            page.on("console", lambda message, faults=faults: faults.append(message.text))
            page.on("pageerror", lambda error, faults=faults: faults.append(str(error)))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("h2").all_inner_texts() == ["psnr", "objects", "sampson", "Films"]
            assert page.locator("table").count() == 2  # sampson has no cameras here
            assert "there is no camera_pose" in page.inner_text("body")
            rows = page.locator("table").first.locator("tbody tr td:first-child").all_inner_texts()
            assert rows[:3] == ["model", "<b>other</b>", "ground truth"]
            assert page.locator("svg polyline").count() >= 8
            assert page.locator("section").count() == 4
            assert page.locator("section").first.locator("video").count() == 5  # of two seeds
            page.locator("button.play").first.click()
            films = "[...document.querySelector('section').querySelectorAll('video')]"
            playing = f"{films}.every((film) => film.currentTime > 0)"
            for _ in range(200):
                if page.evaluate(playing):
                    break
                page.wait_for_timeout(50)
            assert page.evaluate(playing)
            assert faults == []
            page.close()
        browser.close()
