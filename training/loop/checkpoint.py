"""Checkpoints: written to a temporary folder, verified, then renamed; `latest` is updated last.

    FOLDER/step-00000200/   torch.distributed.checkpoint files, and record.json: step, config, digests
    FOLDER/latest           the name of the checkpoint to resume from

The number of ranks may change between saving and loading. `.metadata` of torch.distributed.checkpoint is a
pickle: a checkpoint is only for resuming its own run, and models are published as safetensors
(`training.model`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from training.errors import CheckpointError

RECORD_FILE = "record.json"


class CheckpointManager:
    """The checkpoints of one run, in a folder that all its ranks share.

    Args:
        folder: Created if it does not exist.
        config: Plain values that determine the meaning of the state. A checkpoint of another config is
            refused.
        keep_latest: Number of the newest checkpoints to keep.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], keep_latest: int = 2) -> None:
        self.folder, self.config, self.keep_latest = folder, json.loads(json.dumps(dict(config))), keep_latest
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write `state` as the checkpoint of `step`. All ranks must call it."""
        place, unfinished = self.folder / f"step-{step:08d}", self.folder / f"unfinished-{step:08d}"
        is_first = dist.get_rank() == 0
        if is_first:
            shutil.rmtree(unfinished, ignore_errors=True)
        dist.barrier()
        save(state, checkpoint_id=unfinished)
        if is_first:
            _write_record(unfinished, step, self.config)
            read_record(unfinished)
            shutil.rmtree(place, ignore_errors=True)
            unfinished.rename(place)
            _write_atomically(self.folder / "latest", place.name)
            self._delete_old()
        dist.barrier()
        return place

    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        pointer = self.folder / "latest"
        return int(pointer.read_text().removeprefix("step-")) if pointer.exists() else None

    def load(self, step: int, state: dict[str, Any]) -> None:
        """Read the checkpoint of `step` into the tensors of `state`.

        Raises:
            CheckpointError: It is damaged, or of another config.
        """
        place = self.folder / f"step-{step:08d}"
        stored, expected = _flatten(read_record(place)["config"]), _flatten(self.config)
        if differences := sorted(k for k in stored.keys() | expected if stored.get(k) != expected.get(k)):
            raise CheckpointError(
                "the checkpoint was made with "
                + ", ".join(f"{name} {stored.get(name)} (not {expected.get(name)})" for name in differences),
                where=str(place),
                remedy="use the same settings, or train into another folder",
            )
        load(state, checkpoint_id=place)

    def _delete_old(self) -> None:
        complete = sorted(self.folder.glob("step-*"))
        for old in complete[: -self.keep_latest]:
            shutil.rmtree(old)
        for unfinished in self.folder.glob("unfinished-*"):
            shutil.rmtree(unfinished)


def read_record(place: Path) -> dict[str, Any]:
    """Read the record of a checkpoint, and verify the digest of each of its files.

    Raises:
        CheckpointError: A file is missing or differs.
    """
    try:
        record: dict[str, Any] = json.loads((place / RECORD_FILE).read_text())
    except FileNotFoundError:
        raise CheckpointError("this is not a complete checkpoint", where=str(place)) from None
    for name, digest in record["files"].items():
        if not (place / name).exists() or _digest(place / name) != digest:
            raise CheckpointError(
                f"the file {name} of the checkpoint is not what was written",
                where=str(place),
                remedy="write the name of an older step-* folder into `latest`, or train into another folder",
            )
    return record


def _write_record(place: Path, step: int, config: Mapping[str, Any]) -> None:
    files = {f.name: _digest(f) for f in sorted(place.iterdir())}
    _write_atomically(
        place / RECORD_FILE, json.dumps({"step": step, "config": config, "files": files}, indent=1)
    )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write_atomically(file: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new content."""
    temporary = file.with_name(file.name + ".new")
    with temporary.open("w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.rename(file)
