"""Weights are written tensor by tensor, with the bytes that the library safetensors writes."""

import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training.adapters.safetensors_writer import write_safetensors
from training.adapters.stored_weights import open_stored_weights
from training.adapters.weight_files import open_weights
from training.errors import CheckpointError
from training.loop.checkpoint import CheckpointManager
from training.parallel.mesh import process_group


def test_the_bytes_are_those_of_the_library(tmp_path: Path) -> None:
    weights = {
        "b.weight": torch.randn(3, 2),
        "a": torch.randn(1).bfloat16(),
        "half": torch.randn(3).half(),
        "é\n": torch.randn((), dtype=torch.float64),
        "empty": torch.randn(0, 3),
    }
    metadata = {"note": json.dumps({"quoted": "é\n"}, ensure_ascii=False)}
    save_file(weights, tmp_path / "expected", metadata=metadata)
    assert write_safetensors(tmp_path / "got", weights, metadata) == 2 + 6 + 8 + 24
    assert (tmp_path / "got").read_bytes() == (tmp_path / "expected").read_bytes()
    save_file({k: v.bfloat16() for k, v in weights.items()}, tmp_path / "expected", metadata=metadata)
    write_safetensors(tmp_path / "got", weights, metadata, dtype=torch.bfloat16)
    assert (tmp_path / "got").read_bytes() == (tmp_path / "expected").read_bytes()
    transposed = {"t": torch.randn(4, 5).t()}
    write_safetensors(tmp_path / "got.safetensors", transposed, {})
    assert torch.equal(open_weights(tmp_path / "got.safetensors")["t"], transposed["t"])


def test_a_full_disk_leaves_the_older_file(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "file", {"w": torch.ones(4)}, {})
    before = (tmp_path / "file").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CheckpointError, match="File too large"):
            write_safetensors(tmp_path / "file", {"w": torch.ones(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("file", before)]


def test_one_tensor_of_a_checkpoint_at_a_time_is_in_memory(tmp_path: Path) -> None:
    shape = torch.Size([1024, 1024])
    weights = {f"layer{n}": torch.full(shape, float(n)) for n in range(24)}
    with process_group():
        CheckpointManager(tmp_path / "checkpoints", {}).save(1, {"ema": weights})
    write_safetensors(tmp_path / "expected", weights, {})
    num_bytes = sum(weight.nbytes for weight in weights.values())
    del weights
    stored = open_stored_weights(
        tmp_path / "checkpoints" / "step-00000001", "ema", {f"layer{n}": shape for n in range(24)}
    )
    stored["layer0"]
    before = _reset_peak_memory()
    write_safetensors(tmp_path / "got", stored, {})
    assert _memory("VmHWM") - before < num_bytes / 2
    assert (tmp_path / "got").read_bytes() == (tmp_path / "expected").read_bytes()


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    with process_group():
        CheckpointManager(tmp_path, {}).save(1, {"ema": {"w": torch.zeros(4), "lr": 0.5}})
    place = tmp_path / "step-00000001"
    for name, shape in (("w", [5]), ("bias", [4]), ("lr", [4])):
        with pytest.raises(CheckpointError, match=f"does not fit the model: {name} is"):
            open_stored_weights(place, "ema", {name: torch.Size(shape)})


def _reset_peak_memory() -> int:
    """Reset the peak of this process, and return its memory in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
