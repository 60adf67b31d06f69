"""A checkpoint is complete or refused, and `latest` never names an incomplete one."""

import hashlib
import json
import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.errors import CheckpointError
from training.loop.checkpoint import CheckpointManager
from training.parallel.mesh import process_group

OnRanks = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def one_rank() -> Iterator[None]:
    with process_group():
        yield


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def saved(tmp_path: Path, request: pytest.FixtureRequest) -> CheckpointManager:
    checkpoints = CheckpointManager(tmp_path, {"model": "tiny", "shape": (1, 2)}, is_async=request.param)
    for step in (3, 6, 9):
        checkpoints.save(step, {"w": torch.full((4,), float(step)), "lr": [0.5]})
    checkpoints.wait()
    return checkpoints


def load(checkpoints: CheckpointManager, step: int) -> torch.Tensor:
    state = {"w": torch.zeros(4), "lr": [0.0]}
    checkpoints.load(step, state)
    assert state["lr"] == [0.5]
    assert isinstance(state["w"], torch.Tensor)
    return state["w"]


def save(checkpoints: CheckpointManager, step: int, state: dict[str, Any]) -> None:
    checkpoints.save(step, state)
    checkpoints.wait()


def poll_forever(checkpoints: CheckpointManager) -> None:
    while True:
        checkpoints.poll()


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """Let the system refuse to make a file larger than `free_bytes`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_newest_checkpoints_are_kept(saved: CheckpointManager) -> None:
    assert saved.latest_step() == 9
    assert sorted(p.name for p in saved.folder.glob("*")) == ["latest", "step-00000006", "step-00000009"]
    assert load(saved, 6).tolist() == [6.0] * 4
    record = json.loads((saved.folder / "step-00000009" / "record.json").read_text())
    digests = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (saved.folder / "step-00000009").iterdir()
        if file.name != "record.json"
    }
    assert record["files"] == digests


def test_the_training_goes_on_while_a_copy_of_its_state_is_written(tmp_path: Path) -> None:
    checkpoints = CheckpointManager(tmp_path, {}, is_async=True)
    weight = torch.ones(4)
    checkpoints.save(1, {"w": weight, "lr": [0.5]})
    weight.zero_()
    while checkpoints.latest_step() is None:
        checkpoints.poll()
    checkpoints.wait()
    assert load(checkpoints, 1).tolist() == [1.0] * 4


def test_an_unfinished_checkpoint_is_ignored_and_deleted(saved: CheckpointManager) -> None:
    (saved.folder / "unfinished-00000012").mkdir()
    (saved.folder / "unfinished-00000013").mkdir()
    assert saved.latest_step() == 9
    save(saved, 12, {"w": torch.zeros(4)})
    assert saved.latest_step() == 12
    assert not list(saved.folder.glob("unfinished-*"))


def test_a_full_disk_leaves_the_older_checkpoints(saved: CheckpointManager) -> None:
    with full_disk(20_000), pytest.raises(CheckpointError, match=r"step 12 .* File too large") as caught:
        save(saved, 12, {"w": torch.zeros(10_000)})
    assert "that of step 9 remains" in caught.value.remedy
    assert saved.latest_step() == 9
    assert not list(saved.folder.glob("unfinished-*"))
    assert load(saved, 9).tolist() == [9.0] * 4
    save(saved, 12, {"w": torch.zeros(4)})
    assert saved.latest_step() == 12


def test_the_error_of_a_thread_surfaces_in_a_later_step(tmp_path: Path) -> None:
    checkpoints = CheckpointManager(tmp_path, {}, is_async=True)
    with full_disk(20_000):
        checkpoints.save(1, {"w": torch.zeros(10_000)})
        with pytest.raises(CheckpointError, match="there is no older checkpoint"):
            poll_forever(checkpoints)
    checkpoints.wait()  # reported once


def test_each_rank_writes_its_shards_and_all_see_an_error_of_one(on_ranks: OnRanks, tmp_path: Path) -> None:
    script = Path(__file__).with_name("checkpoint_ranks.py")
    written, damaged, files = json.loads(on_ranks(2, script, tmp_path / "checkpoints"))
    for error in written:
        assert "step 2 could not be written" in error
        assert "that of step 1 remains" in error
    for error in damaged:
        assert "__1_0.distcp of the checkpoint is not what was written" in error
    assert torch.equal(load_file(tmp_path / "weights.safetensors")["w"], torch.arange(20_000.0))
    assert files == [".metadata", "__0_0.distcp", "__1_0.distcp", "record.json"]


def record_of(saved: CheckpointManager) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((saved.folder / "step-00000009" / "record.json").read_text())
    return values


def write_record(saved: CheckpointManager, record: dict[str, Any]) -> None:
    (saved.folder / "step-00000009" / "record.json").write_text(json.dumps(record))


@pytest.mark.parametrize("saved", [False], indirect=True)
class TestBadInput:
    @pytest.mark.parametrize("file", ["__0_0.distcp", ".metadata"])
    def test_a_damaged_checkpoint_is_refused(self, saved: CheckpointManager, file: str) -> None:
        place = saved.folder / "step-00000009" / file
        data = bytearray(place.read_bytes())
        data[len(data) // 2] ^= 1
        place.write_bytes(data)
        with pytest.raises(CheckpointError, match="is not what was written"):
            load(saved, 9)
        place.unlink()
        with pytest.raises(CheckpointError, match=f"{file} of the checkpoint is missing"):
            load(saved, 9)

    def test_a_damaged_record_is_refused(self, saved: CheckpointManager) -> None:
        (saved.folder / "step-00000009" / "record.json").write_text('{"step": 9')
        with pytest.raises(CheckpointError, match=r"record\.json of the checkpoint is not what was written"):
            load(saved, 9)

    def test_a_damaged_pointer_is_refused(self, saved: CheckpointManager) -> None:
        (saved.folder / "latest").write_text("step-")
        with pytest.raises(CheckpointError, match="is not a checkpoint"):
            saved.latest_step()

    def test_a_checkpoint_of_another_config_is_refused(self, saved: CheckpointManager) -> None:
        with pytest.raises(CheckpointError, match=r"model tiny \(not small\)"):
            load(CheckpointManager(saved.folder, {"model": "small", "shape": (1, 2)}), 9)

    @pytest.mark.parametrize(
        ("state", "message"),
        [({"w": torch.zeros(5)}, "does not fit the model: .*w"), ({"bias": torch.zeros(4)}, "bias")],
    )
    def test_a_checkpoint_of_another_shape_is_refused(
        self, saved: CheckpointManager, state: dict[str, torch.Tensor], message: str
    ) -> None:
        with pytest.raises(CheckpointError, match=message):
            saved.load(9, dict(state))

    def test_a_checkpoint_of_an_older_version_is_refused(self, saved: CheckpointManager) -> None:
        record = record_of(saved)
        write_record(saved, {"step": 9, "config": record["identity"], "files": record["files"]})
        with pytest.raises(CheckpointError, match="older version"):
            load(saved, 9)

    def test_a_missing_checkpoint_is_refused(self, saved: CheckpointManager) -> None:
        with pytest.raises(CheckpointError, match="not a complete checkpoint"):
            load(saved, 3)

    def test_nothing_in_a_checkpoint_is_executed(self, saved: CheckpointManager, tmp_path: Path) -> None:
        """Even if its record has the digests of the files that were replaced."""
        attack = pickle.dumps(_Attack(tmp_path / "executed"))
        place, record = saved.folder / "step-00000009" / ".metadata", record_of(saved)
        place.write_bytes(attack)
        write_record(
            saved, record | {"files": record["files"] | {".metadata": hashlib.sha256(attack).hexdigest()}}
        )
        with pytest.raises(CheckpointError, match="which no checkpoint needs"):
            load(saved, 9)
        saved.save(9, {"w": torch.zeros(4), "lr": [_Attack(tmp_path / "executed")]})
        with pytest.raises(CheckpointError, match="does not fit the model"):
            load(saved, 9)
        assert not (tmp_path / "executed").exists()


class _Attack:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))
