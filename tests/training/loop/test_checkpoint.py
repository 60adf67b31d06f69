"""A checkpoint is complete or refused, and `latest` never names an incomplete one."""

import errno
import json
from pathlib import Path

import pytest
import torch

from training.errors import CheckpointError
from training.loop.checkpoint import CheckpointManager
from training.parallel.mesh import process_group


@pytest.fixture
def saved(tmp_path: Path) -> CheckpointManager:
    checkpoints = CheckpointManager(tmp_path, {"model": "tiny", "shape": (1, 2)})
    with process_group():
        for step in (3, 6, 9):
            checkpoints.save(step, {"w": torch.full((4,), float(step))})
    return checkpoints


def load(checkpoints: CheckpointManager, step: int) -> torch.Tensor:
    state = {"w": torch.zeros(4)}
    with process_group():
        checkpoints.load(step, state)
    return state["w"]


def test_the_newest_checkpoints_are_kept(saved: CheckpointManager) -> None:
    assert saved.latest_step() == 9
    assert sorted(p.name for p in saved.folder.glob("*")) == ["latest", "step-00000006", "step-00000009"]
    assert load(saved, 6).tolist() == [6.0] * 4


def test_an_unfinished_checkpoint_is_ignored_and_deleted(saved: CheckpointManager) -> None:
    (saved.folder / "unfinished-00000012").mkdir()
    assert saved.latest_step() == 9
    with process_group():
        saved.save(12, {"w": torch.zeros(4)})
    assert saved.latest_step() == 12
    assert not list(saved.folder.glob("unfinished-*"))


@pytest.mark.parametrize("file", ["__0_0.distcp", ".metadata"])
def test_a_damaged_checkpoint_is_refused(saved: CheckpointManager, file: str) -> None:
    place = saved.folder / "step-00000009" / file
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)
    with pytest.raises(CheckpointError, match="is not what was written"):
        load(saved, 9)


def test_a_checkpoint_of_another_config_is_refused(saved: CheckpointManager) -> None:
    with pytest.raises(CheckpointError, match=r"model tiny \(not small\)"):
        load(CheckpointManager(saved.folder, {"model": "small", "shape": (1, 2)}), 9)


def test_a_checkpoint_of_an_older_version_is_refused(saved: CheckpointManager) -> None:
    record = saved.folder / "step-00000009" / "record.json"
    values = json.loads(record.read_text())
    record.write_text(json.dumps({"step": 9, "config": values["identity"], "files": values["files"]}))
    with pytest.raises(CheckpointError, match="older version"):
        load(saved, 9)


def test_a_checkpoint_that_cannot_be_written_leaves_the_older_ones(
    saved: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **settings: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, process_group():
        patched.setattr(torch.serialization, "_save", full)
        with pytest.raises(CheckpointError, match="No space left on device") as caught:
            saved.save(12, {"w": torch.zeros(4)})
    assert "that of step 9 remains" in caught.value.remedy or "step 9 remains" in caught.value.remedy
    assert saved.latest_step() == 9
    assert not list(saved.folder.glob("unfinished-*"))
    assert load(saved, 9).tolist() == [9.0] * 4


def test_a_missing_checkpoint_is_refused(saved: CheckpointManager) -> None:
    with pytest.raises(CheckpointError, match="not a complete checkpoint"):
        load(saved, 3)
