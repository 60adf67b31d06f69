"""The command `clipmill demo`: how a run of the demo recipe ends, and which numbers its options take."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.stage import Reject
from stages.ingest.probe_video import ProbeVideo, Video


def test_a_signal_stops_the_demo_with_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step receives the signal, so the demo's films are one file that is not a video."""

    def draw(folder: Path, **_: object) -> list[Path]:
        (folder / "film.mp4").write_bytes(b"no video")
        return [folder / "film.mp4"]

    def annotate(_: ProbeVideo, rows: Sequence[Video]) -> list[Reject]:
        os.kill(os.getpid(), signal.SIGTERM)
        return [Reject("the signal did not stop the run") for _ in rows]

    monkeypatch.setattr("stages.footage.draw.draw", draw)
    monkeypatch.setattr(ProbeVideo, "annotate", annotate)
    films, store = tmp_path / "films", tmp_path / "store"
    films.mkdir()
    assert main(["demo", str(films), "--run", str(store), "--inline"]) == 128 + signal.SIGTERM
    printed = capsys.readouterr()
    assert "not finished" in printed.out
    assert "accuracy" not in printed.out
    assert f"continue with: clipmill demo {films} --run {store} --inline" in printed.err
    assert not (store / "lease.json").exists()


@pytest.mark.parametrize(("option", "value"), [("--processes", "0"), ("--workers", "-1"), ("--seed", "-7")])
def test_a_wrong_number_is_wrong_usage(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "films", option, value]) == 2
    error = capsys.readouterr().err
    assert "at least" in error
    assert option in error
