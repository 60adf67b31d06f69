"""Written films: equal bytes with any number of processes, frames and conditions that agree, and splits."""

import csv
import hashlib
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import ClipmillError
from pipeline.cli import main
from stages.conditions.sidecar import read_conditions, sidecar_uri
from stages.simulation.action import PushEpisodes
from stages.simulation.film import split_of
from stages.simulation.push_task import PushTask
from stages.simulation.write_films import write_films

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")
EPISODES = PushEpisodes(seed=2, frames=9, fps=10.0)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(tmp_path: Path) -> None:
    write_films(tmp_path / "one", EPISODES, 3)
    write_films(tmp_path / "two", EPISODES, 3, processes=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    write_films(tmp_path / "more", EPISODES, 4)
    same = {name: value for name, value in digests(tmp_path / "one").items() if name != "list.csv"}
    assert same.items() <= digests(tmp_path / "more").items()
    write_films(tmp_path / "other", PushEpisodes(seed=3, frames=9, fps=10.0), 1)
    assert digests(tmp_path / "other")["episode_000000.mp4"] != same["episode_000000.mp4"]


def test_the_actions_of_a_film_lead_from_each_frame_to_the_next(tmp_path: Path) -> None:
    listed = write_films(tmp_path, EPISODES, 2, validation_share=0.5)
    with listed.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["train", "validation"]
    assert all(row["caption"].startswith("A blue disc") for row in rows)
    video = tmp_path / rows[1]["uri"]
    sidecar = read_conditions(sidecar_uri(str(video)) or "")
    frames = decode(video)
    np.testing.assert_allclose(sidecar.timestamps, np.arange(9) / 10)
    task = PushTask(EPISODES.size, EPISODES.fps)
    image, state = task.reset(state=sidecar.columns["state"][0])
    for frame, action, expected in zip(
        frames, sidecar.columns["action"], sidecar.columns["state"], strict=True
    ):
        np.testing.assert_allclose(state, expected, atol=1e-3)
        assert np.abs(frame.astype(int) - image).mean() < 3
        image, state = task.step(action)


def test_a_split_is_a_share_of_the_scenes_and_does_not_change_with_more() -> None:
    splits = [split_of(scene, 0.1) for scene in range(100)]
    assert splits.count("validation") == 10
    assert "validation" in splits[:10]
    assert {split_of(scene, 0.0) for scene in range(50)} == {"train"}
    assert {split_of(scene, 1.0) for scene in range(50)} == {"validation"}


def test_the_verb_writes_films(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "action", "--out", str(tmp_path), "--scenes", "1", "--frames", "3", "--seed", "4"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/list.csv: 1 scene")
    assert len(decode(tmp_path / "episode_000000.mp4")) == 3


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        (["--size", "63"], "--size is 63; a side must be even", "set it to 64"),
        (["--width", "64"], "action has no option --width", "--frames, --fps, --size"),
    ],
)
def test_the_verb_refuses_wrong_options(
    options: list[str], message: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "action", "--out", str(tmp_path), *options]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert remedy in error


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymunk", None)
    with pytest.raises(ClipmillError, match=r"clipmill\[simulation\]"):
        EPISODES.prepare()


def test_a_lossless_film_has_every_value_of_the_simulator(tmp_path: Path) -> None:
    write_films(tmp_path, EPISODES, 1, lossless=True)
    assert np.array_equal(decode(tmp_path / "episode_000000.mp4"), EPISODES.simulate(0)[0].frames)
