"""The documentation site builds without a warning, and its reference pages follow the code."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class _Text(HTMLParser):
    """Collects the text of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.text = ""
        self.feed(page.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. `--strict` makes every warning an error: broken links, pages outside the navigation."""
    folder = tmp_path_factory.mktemp("site")
    words = ["build", "--strict", "--quiet", "-f", str(ROOT / "docs" / "mkdocs.yml"), "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.slow
def test_each_readme_is_a_page_under_its_own_path(site: Path) -> None:
    readmes = [
        path
        for package in ("manifests", "stages", "training")
        for path in (ROOT / package).rglob("README.md")
    ]
    assert len(readmes) > 5
    for path in readmes:
        assert (site / path.relative_to(ROOT).parent / "index.html").is_file(), path


def test_every_stage_and_column_is_in_the_reference(site: Path) -> None:
    from pipeline.recipes.catalog import describe_stages, list_stages

    stages, columns = (_Text(site / "reference" / f"{name}.html").text for name in ("stages", "columns"))
    for entry in list_stages():
        assert entry.name in stages
    for column in describe_stages("MeasureMotion")[0].adds:
        assert column.name in columns
        assert " ".join(column.meaning.replace("`", "").split()) in columns


def test_every_knob_is_in_the_reference_with_its_help_line(site: Path) -> None:
    from pipeline.recipes.catalog import find_recipe

    text = _Text(site / "reference" / "recipes.html").text
    knob = next(knob for knob in find_recipe("curate").knobs if knob.name == "max_noise")
    assert knob.name in text
    assert " ".join(knob.description.split()) in text


def test_every_command_is_in_the_reference(site: Path) -> None:
    from pipeline.cli import VERBS

    text = _Text(site / "reference" / "commands.html").text
    assert [verb for verb in VERBS if f"clipmill {verb}" not in text] == []


def test_the_python_api_is_in_the_reference(site: Path) -> None:
    text = _Text(site / "reference" / "pipeline.html").text
    assert "Adds columns to each row." in text  # the docstring of Annotate
