"""The store format: earlier minor versions are read; others are refused in one line, and nothing written."""

import json
import shutil
from pathlib import Path

import counting
import pyarrow.parquet as pq
import pytest

from manifests.errors import Damaged, NewerFormat, OlderFormat
from manifests.format import OLDEST_FORMAT, STORE_FILE, format_text, open_checked_store
from pipeline.cli import main

RECIPE = counting.__file__
VERBS: dict[str, list[str]] = {
    "run": ["run", RECIPE, "store={store}", "--inline", "--quiet"],
    "plan": ["plan", RECIPE, "store={store}"],
    "try": ["try", RECIPE, "store={store}", "min_half=3"],
    "explain": ["explain", "abcdef", "store={store}"],
    "replay": ["replay", "square", "--row", "abcdef", "store={store}"],
    "report": ["report", "store={store}"],
    "table": ["table", "store={store}"],
    "show": ["show", "abcdef", "store={store}"],
    "gc": ["gc", "store={store}", "--keep", "1"],
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
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a finished run."""
    store = tmp_path_factory.mktemp("store")
    assert main(["run", RECIPE, f"store={store}", "--inline", "--quiet"]) == 0
    return store


@pytest.fixture
def previous(finished: Path, tmp_path: Path) -> Path:
    """A store in format 1.0, which versions before 1.1 wrote as the number 1."""
    return in_format(finished, tmp_path / "previous", 1)


@pytest.fixture
def earlier(finished: Path, tmp_path: Path) -> Path:
    """A store in format 1.1, whose `store.json` does not name the version of clipmill."""
    return in_format(finished, tmp_path / "earlier", OLDEST_FORMAT)


def in_format(store: Path, copy: Path, version: float) -> Path:
    shutil.copytree(store, copy)
    set_format(copy, version)
    return copy


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_store_whose_names_changed(
    verb: str, previous: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(previous)
    capsys.readouterr()
    assert main([word.format(store=previous) for word in VERBS[verb]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"error: store {previous} was written in format 1.0 and this version reads formats from 1.1 on;"
        " column and stage names changed",
        "  remedy: run the recipe again with a new store folder",
    ]
    assert files(previous) == before


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_later_store_with_the_version_to_install(
    verb: str, previous: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (previous / STORE_FILE).write_text('{"format": 1.9, "clipmill": "7.8.9"}')
    before = files(previous)
    capsys.readouterr()
    assert main([word.format(store=previous) for word in VERBS[verb]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "this store has format 1.9, written by clipmill 7.8.9, and this version" in captured.err
    assert "pip install --upgrade 'clipmill>=7.8.9'" in captured.err
    assert files(previous) == before


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("run", "show")])
def test_every_verb_reads_a_store_of_an_earlier_minor_version(verb: str, earlier: Path) -> None:
    row = str(pq.read_table(next(earlier.glob("numbers-*/part-*.parquet")))["id"][0])
    assert main([word.format(store=earlier).replace("abcdef", row) for word in VERBS[verb]]) == 0
    version = json.loads((earlier / STORE_FILE).read_text())["format"]
    assert version == OLDEST_FORMAT, "reading changes no format"


def test_a_run_continues_a_store_of_an_earlier_minor_version_and_raises_its_version(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (next(earlier.glob("split-*")) / "manifest.json").unlink()  # this table is continued
    command = ["run", RECIPE, f"store={earlier}", "--inline", "--json"]
    capsys.readouterr()
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert sum(work["processed"] for work in result["rows"].values()) == 0
    assert (earlier / STORE_FILE).read_bytes() == format_text()
    assert main(["manifest", "check", str(earlier), "--deep"]) == 0


def test_a_table_of_the_previous_format_is_refused_without_the_store_file(
    previous: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
        ('{"format": 1}', OlderFormat), ('{"format": 1.0}', OlderFormat), ('{"format": 1.3}', NewerFormat),
        ('{"format": 2}', NewerFormat), ("{}", Damaged), ("[]", Damaged), ("", Damaged),
        ('{"format": "x"}', Damaged), ('{"format": NaN}', Damaged), (f'{{"format": {10**400}}}', Damaged),
    ],
)  # fmt: skip
def test_another_format_is_refused(text: str, error: type[Exception], tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_text(text)
    with pytest.raises(error):
        open_checked_store(str(tmp_path))
