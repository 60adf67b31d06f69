"""The benchmark of the filters leaves out the clips that a table names as not good."""

import json
from pathlib import Path

import numpy as np
import pytest

from stages.media.encoding.arrays import write_mp4


@pytest.mark.slow
def test_clips_in_the_truth_count_neither_as_good_nor_as_wrongly_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.filters import main, read_truth

    footage = tmp_path / "footage"
    footage.mkdir()
    for name in ("white.mp4", "also_white.mp4"):
        write_mp4(footage / name, np.full((20, 64, 96, 3), 255, np.uint8), 10, crf=20, preset="ultrafast")
    truth, found = tmp_path / "truth.csv", tmp_path / "found.json"
    truth.write_text("clip,defects\nwhite.mp4,overexposed\n", encoding="utf-8")
    assert read_truth(truth) == {"white.mp4": "overexposed"}
    options = ["--filters", "", "--truth", str(truth), "--json", str(found)]
    monkeypatch.setattr("sys.argv", ["filters", str(footage), *options])
    main()
    result = json.loads(found.read_text(encoding="utf-8"))
    assert list(result["originals"]) == ["also_white.mp4"]
    assert result["false_drops"]["original files"]["overexposed"] == ["also_white.mp4"]
    assert result["scores"] == {}
    assert "1 original files without a defect; all rules drop 1" in capsys.readouterr().out


def test_shake_is_planted_into_a_clip_of_a_low_frame_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.workloads.planting import DEFECTS

    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    plant = DEFECTS["shake"].plant
    assert plant is not None
    shaken = list(plant([image] * 8, 4.0, 0.01, rng))
    assert len(shaken) == 8
    assert (shaken[0] != shaken[1]).any()
