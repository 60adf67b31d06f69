"""clipmill show: the file that it writes, what it prints, and what happens if a row cannot be shown."""

import time
from pathlib import Path

import counting
import pytest
from toys import Quiet

from manifests import clips
from pipeline.cli import VIEWERS, main
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag
from pipeline.verbs.rows.show import SUFFIXES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    request = RunRequest(counting.__file__, {}, str(folder))
    run_dag(counting.counting(bad=5), str(folder), executor=Inline(), observer=Quiet(), request=request)
    return folder


@pytest.fixture(autouse=True)
def viewers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(VIEWERS, "mp4", "showing:fail")
    monkeypatch.setitem(VIEWERS, "sheet", "showing:write_values")
    monkeypatch.chdir(tmp_path)


def id_of(store: Path, n: int) -> str:
    (row,) = clips(store, columns=["id"], where=f"n == {n}", of="numbers")["id"].to_pylist()
    return str(row)


def test_there_is_a_viewer_for_every_form() -> None:
    assert VIEWERS.keys() == SUFFIXES.keys()


def test_it_writes_a_file_and_prints_its_path_and_the_outcome(
    store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = id_of(store, 3)
    assert main(["show", row[:8], f"store={store}"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{row}.png\n"
    assert printed.err == f"{row}: dropped by too_small (too small; half=1.5)\n"
    text = (tmp_path / f"{row}.png").read_text()
    assert "'square': 9" in text
    assert text.endswith("bad=5")


def test_a_failure_leaves_no_file(store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (["--as", "mp4"], ["--out", "x.mp4"]):
        assert main(["show", id_of(store, 7), f"store={store}", *words]) == 1
        assert "the source is gone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_ending_of_the_file_fits_its_form(
    store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    show = ["show", id_of(store, 6), f"store={store}", "--out"]
    assert main([*show, "x.gif"]) == 2
    assert "--out writes no .gif file\n  where:  x.gif\n  remedy: use .mp4, .png" in capsys.readouterr().err
    assert main([*show, "x.mp4", "--as", "sheet"]) == 2
    assert "--as sheet writes no .mp4 file\n  where:  x.mp4\n  remedy: use .png" in capsys.readouterr().err
    assert main([*show, str(tmp_path / "none" / "x.png")]) == 2
    error = capsys.readouterr().err
    assert f"the folder of --out does not exist\n  where:  {tmp_path / 'none'}\n" in error
    assert list(tmp_path.iterdir()) == []
    assert main([*show, "X.PNG"]) == 0


def test_a_clip_that_cannot_be_cut_is_shown_by_its_stills(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.verbs.rows.show._CLIP_COLUMN", "start")
    (child, *_) = clips(store, columns=["id"])["id"].to_pylist()
    assert main(["show", child, f"store={store}"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{child}.png\n"
    assert printed.err.startswith("note: the source is gone; the stored stills are shown instead\n")


def test_it_opens_the_file(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    program = tmp_path / "xdg-open"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.partial && mv {opened}.partial {opened}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["show", id_of(store, 6), f"store={store}", "--out", "six.png", "--open"]) == 0
    for _ in range(1000):
        if opened.exists():
            break
        time.sleep(0.01)
    assert opened.read_text() == "six.png"


def test_without_a_desktop_the_file_is_written(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["show", id_of(store, 6), f"store={store}", "--out", "six.png", "--open"]) == 1
    assert "no program opens files here" in capsys.readouterr().err
    assert (tmp_path / "six.png").exists()
