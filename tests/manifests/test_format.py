"""The store format: a store of another version is refused in one line, and nothing is written into it."""

import json
from pathlib import Path

import counting
import pytest

from manifests.errors import Damaged, NewerFormat, OlderFormat
from manifests.format import FORMAT, STORE_FILE, format_text, open_checked_store
from pipeline.cli import main

RECIPE = counting.__file__
VERBS: dict[str, list[str]] = {
    "run": ["run", RECIPE, "store={store}", "--inline", "--quiet"],
    "plan": ["plan", RECIPE, "store={store}"],
    "try": ["try", RECIPE, "store={store}", "least=3"],
    "explain": ["explain", "abcdef", "store={store}"],
    "replay": ["replay", "square", "--row", "abcdef", "store={store}"],
    "report": ["report", "store={store}"],
    "status": ["status", "store={store}"],
    "manifest check": ["manifest", "check", "{store}"],
    "manifest show": ["manifest", "show", "{store}"],
    "manifest diff": ["manifest", "diff", "{store}", "{store}"],
}


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def set_format(root: Path, version: float) -> None:
    """Change the format of a store in all its files, as another version of clipmill would have written it."""
    for path in [root / STORE_FILE, *root.glob("*/table.json"), *root.glob("*/manifest.json")]:
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": version}))


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a finished run, in format 1.0, which versions before 1.1 wrote as the number 1."""
    store = tmp_path_factory.mktemp("store")
    assert main(["run", RECIPE, f"store={store}", "--inline", "--quiet"]) == 0
    set_format(store, 1)
    return store


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_store_of_the_previous_format(
    verb: str, previous: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(previous)
    capsys.readouterr()
    assert main([word.format(store=previous) for word in VERBS[verb]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"error: store {previous} was written in format 1.0 and this version writes {FORMAT};"
        " column and stage names changed",
        "  remedy: run the recipe again with a new store folder",
    ]
    assert files(previous) == before


def test_a_table_of_the_previous_format_is_refused_without_the_store_file(
    previous: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(previous, tmp_path / "copy")
    (tmp_path / "copy" / STORE_FILE).unlink()
    table = next((tmp_path / "copy").glob("*/manifest.json")).parent
    capsys.readouterr()
    assert main(["manifest", "check", str(table)]) == 1
    assert "was written in format 1.0" in "".join(capsys.readouterr())


def test_a_new_store_is_opened(tmp_path: Path) -> None:
    assert open_checked_store(str(tmp_path / "none")).names() == []
    assert not (tmp_path / "none").exists()
    (tmp_path / STORE_FILE).write_bytes(format_text())
    assert open_checked_store(str(tmp_path)).names() == [STORE_FILE]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"format": 1}', OlderFormat), ('{"format": 1.0}', OlderFormat), ('{"format": 1.2}', NewerFormat),
        ('{"format": 2}', NewerFormat), ("{}", Damaged), ("[]", Damaged), ("", Damaged),
        ('{"format": "x"}', Damaged),
    ],
)  # fmt: skip
def test_another_format_is_refused(text: str, error: type[Exception], tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_text(text)
    with pytest.raises(error):
        open_checked_store(str(tmp_path))
