"""Checkpoints: written beside, verified, renamed into place; `latest` moves last.

    FOLDER/step-00000200/   torch.distributed.checkpoint files, and record.json: step, config, digests
    FOLDER/latest           the name of the checkpoint to go on from

The layout of ranks may change between saving and loading. `.metadata` of torch.distributed.checkpoint is a
pickle: a checkpoint is for its own run to go on from, and models are handed on as safetensors
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

from training.errors import BadCheckpoint

RECORD = "record.json"


class Checkpoints:
    """The checkpoints of one run, in a folder that all its ranks share.

    Args:
        folder: made if it is not there.
        config: plain values that decide what the state means; a checkpoint of another config is refused.
        keep: how many of the newest to keep.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], keep: int = 2) -> None:
        self.folder, self.config, self.keep = folder, json.loads(json.dumps(dict(config))), keep
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write `state` as the checkpoint of `step`, on all ranks together."""
        place, unfinished = self.folder / f"step-{step:08d}", self.folder / f"unfinished-{step:08d}"
        first = dist.get_rank() == 0
        if first:
            shutil.rmtree(unfinished, ignore_errors=True)
        dist.barrier()
        save(state, checkpoint_id=unfinished)
        if first:
            _record(unfinished, step, self.config)
            read_record(unfinished)
            shutil.rmtree(place, ignore_errors=True)
            unfinished.rename(place)
            _replace(self.folder / "latest", place.name)
            self._forget()
        dist.barrier()
        return place

    def latest(self) -> int | None:
        """The step of the newest whole checkpoint, or None."""
        pointer = self.folder / "latest"
        return int(pointer.read_text().removeprefix("step-")) if pointer.exists() else None

    def load(self, step: int, state: dict[str, Any]) -> None:
        """Read the checkpoint of `step` into the tensors of `state`.

        Raises:
            BadCheckpoint: it is damaged, or of another config.
        """
        place = self.folder / f"step-{step:08d}"
        found, wanted = _flat(read_record(place)["config"]), _flat(self.config)
        if differing := sorted(k for k in found.keys() | wanted if found.get(k) != wanted.get(k)):
            raise BadCheckpoint(
                "the checkpoint was made with "
                + ", ".join(f"{name} {found.get(name)} (not {wanted.get(name)})" for name in differing),
                where=str(place),
                remedy="ask for the same, or train into another folder",
            )
        load(state, checkpoint_id=place)

    def _forget(self) -> None:
        whole = sorted(self.folder.glob("step-*"))
        for old in whole[: -self.keep]:
            shutil.rmtree(old)
        for dead in self.folder.glob("unfinished-*"):
            shutil.rmtree(dead)


def read_record(place: Path) -> dict[str, Any]:
    """The record of a checkpoint, once each of its files is found to be what was written.

    Raises:
        BadCheckpoint: a file is missing or is another.
    """
    try:
        record: dict[str, Any] = json.loads((place / RECORD).read_text())
    except FileNotFoundError:
        raise BadCheckpoint("this is no whole checkpoint", where=str(place)) from None
    for name, digest in record["files"].items():
        if not (place / name).exists() or _digest(place / name) != digest:
            raise BadCheckpoint(
                f"a checkpoint's file {name} is not what was written",
                where=str(place),
                remedy="write the name of an older step-* folder into `latest`, or start again elsewhere",
            )
    return record


def _record(place: Path, step: int, config: Mapping[str, Any]) -> None:
    files = {f.name: _digest(f) for f in sorted(place.iterdir())}
    _replace(place / RECORD, json.dumps({"step": step, "config": config, "files": files}, indent=1))


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _replace(file: Path, text: str) -> None:
    """Write a small file so that a reader sees the old one or the new one."""
    beside = file.with_name(file.name + ".new")
    with beside.open("w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    beside.rename(file)
