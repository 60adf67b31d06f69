"""A checkpoint is whole or refused, and `latest` never names one that is not."""

from pathlib import Path

import pytest
import torch

from training.errors import BadCheckpoint
from training.loop.checkpoint import Checkpoints
from training.parallel.mesh import process_group


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path, {"size": "tiny", "shape": (1, 2)})
    with process_group():
        for step in (3, 6, 9):
            checkpoints.save(step, {"w": torch.full((4,), float(step))})
    return checkpoints


def loaded(checkpoints: Checkpoints, step: int) -> torch.Tensor:
    state = {"w": torch.zeros(4)}
    with process_group():
        checkpoints.load(step, state)
    return state["w"]


def test_the_newest_are_kept_and_named(saved: Checkpoints) -> None:
    assert saved.latest() == 9
    assert sorted(p.name for p in saved.folder.glob("*")) == ["latest", "step-00000006", "step-00000009"]
    assert loaded(saved, 6).tolist() == [6.0] * 4


def test_an_unfinished_one_is_not_taken_for_whole(saved: Checkpoints) -> None:
    (saved.folder / "unfinished-00000012").mkdir()
    assert saved.latest() == 9
    with process_group():
        saved.save(12, {"w": torch.zeros(4)})
    assert saved.latest() == 12
    assert not list(saved.folder.glob("unfinished-*"))


@pytest.mark.parametrize("file", ["__0_0.distcp", ".metadata"])
def test_a_damaged_one_is_refused(saved: Checkpoints, file: str) -> None:
    place = saved.folder / "step-00000009" / file
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)
    with pytest.raises(BadCheckpoint, match="is not what was written"):
        loaded(saved, 9)


def test_one_of_another_config_is_refused(saved: Checkpoints) -> None:
    with pytest.raises(BadCheckpoint, match=r"size tiny \(not small\)"):
        loaded(Checkpoints(saved.folder, {"size": "small", "shape": (1, 2)}), 9)


def test_one_that_is_not_there_is_refused(saved: Checkpoints) -> None:
    with pytest.raises(BadCheckpoint, match="no whole checkpoint"):
        loaded(saved, 3)
