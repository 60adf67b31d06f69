"""Checkpoints: written to a temporary folder, verified, then renamed; `latest` is updated last.

A checkpoint can be written while the training goes on: each rank copies its state to CPU memory, and a thread
writes the copy. One checkpoint at a time is written.

    FOLDER/step-00000200/   torch.distributed.checkpoint files, and record.json
    FOLDER/latest           the name of the checkpoint to resume from

record.json has "step", "identity", "history", "metadata", "parts" and "files". The identity is what the bits
mean: a checkpoint of another identity is refused. The history lists the other settings, and from which step
on each of them was in effect: a run may resume with other values of these. "parts" has the keys of the state,
and "files" the SHA-256 of each file.

The number of ranks may change between saving and loading. A checkpoint is for resuming its own run; models
are published as safetensors (`training.model`).
"""

import json
import os
import shutil
from collections.abc import Mapping, Set
from concurrent.futures import Future, wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from training.errors import CheckpointError
from training.loop.background import run_in_thread
from training.loop.checkpoint_files import REMEDY, raise_first, read_files, verify_files, write_files

RECORD_FILE = "record.json"
WRITE_TIMEOUT = timedelta(minutes=30)  # in which all ranks must have written their files
CLOSE_TIMEOUT_S = 10  # for which a training that failed waits for the checkpoint in progress


class CheckpointManager:
    """The checkpoints of one run, in a folder that all its ranks share.

    Args:
        folder: Created if it does not exist.
        identity: Plain values that determine the meaning of the state.
        settings: Plain values that may change when the run resumes. The history records them.
        metadata: Further plain values for readers of the checkpoint.
        keep_latest: Number of the newest checkpoints to keep.
        is_async: Write in a thread while the training goes on. It needs CPU memory for a copy of the state.

    Attributes:
        changes: Settings that changed when the last checkpoint was loaded: (old, new) by name.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        keep_latest: int = 2,
        is_async: bool = False,
    ) -> None:
        self.folder, self.keep_latest, self.is_async = folder, keep_latest, is_async
        self.identity, self.metadata = _plain(identity), _plain(metadata or {})
        self._history: list[dict[str, Any]] = [{"step": 0, "settings": _plain(settings or {})}]
        self.changes: dict[str, tuple[Any, Any]] = {}
        self._stager = BlockingAsyncStager(cache_staged_state_dict=torch.cuda.is_available())
        self._group: dist.ProcessGroup | None = None
        self._write: Future[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write `state` as the checkpoint of `step`, or copy it and begin to write. All ranks must call it.

        Raises:
            CheckpointError: This checkpoint or, if it is written in a thread, the last one cannot be written,
                for example because the disk is full. Older checkpoints remain.
        """
        self.wait()
        record = _plain(
            {"step": step, "identity": self.identity, "history": self._history, "metadata": self.metadata}
            | {"parts": sorted(state)}
        )
        if self._group is None:  # one of its own, because writing takes longer, and may be in another thread
            self._group = dist.new_group(backend="gloo", timeout=WRITE_TIMEOUT)
        if not self.is_async:
            self._write_checkpoint(record, state, self._group)
            return
        staged, group = self._stager.stage(state), self._group
        self._write = run_in_thread(lambda: self._write_checkpoint(record, staged, group))

    def poll(self) -> None:
        """Notice whether the checkpoint in progress is written. All ranks must call it after each step.

        Raises:
            CheckpointError: It cannot be written.
        """
        if self._write is not None and not _is_any(not self._write.done()):
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint in progress, if there is one, is written.

        Raises:
            CheckpointError: It cannot be written.
        """
        write, self._write = self._write, None
        if write is not None:
            write.result()

    def close(self) -> None:
        """Give the checkpoint in progress a few seconds, after an error. Its own errors are not reported."""
        write, self._write = self._write, None
        if write is not None:
            wait([write], CLOSE_TIMEOUT_S)

    def _write_checkpoint(
        self, record: dict[str, Any], state: dict[str, Any], group: dist.ProcessGroup | None
    ) -> None:
        """Write, verify and publish a checkpoint; on an error remove what was written of it."""
        name = f"{record['step']:08d}"
        place, unfinished = self.folder / f"step-{name}", self.folder / f"unfinished-{name}"
        is_first = dist.get_rank(group) == 0
        if is_first:
            shutil.rmtree(unfinished, ignore_errors=True)
        dist.barrier(group)
        try:
            record["files"] = write_files(unfinished, state, group)
            errors: list[str | None] = [None]
            if is_first:
                try:
                    self._publish(record, unfinished, place)
                except OSError as error:
                    errors = [str(error)]
            dist.broadcast_object_list(errors, src=0, group=group)
            raise_first(errors, unfinished)
        except CheckpointError as error:
            if is_first:
                shutil.rmtree(unfinished, ignore_errors=True)
            latest = self.latest_step()
            kept = "there is no older checkpoint" if latest is None else f"that of step {latest} remains"
            raise CheckpointError(
                f"the checkpoint of step {record['step']} could not be written: {error.what}",
                where=str(self.folder),
                remedy=f"{kept}; free disk space or choose another folder, and run again to resume",
            ) from error

    def _publish(self, record: Mapping[str, Any], unfinished: Path, place: Path) -> None:
        _write_atomically(unfinished / RECORD_FILE, json.dumps(record, indent=1))
        shutil.rmtree(place, ignore_errors=True)
        unfinished.rename(place)
        _write_atomically(self.folder / "latest", place.name)
        self._delete_old()

    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return latest_step(self.folder)

    def load(self, step: int, state: dict[str, Any], optional: Set[str] = frozenset()) -> None:
        """Read the checkpoint of `step` into the tensors of `state`, and set `changes`.

        All ranks must call it, and each verifies a part of the files. Keys of `state` in `optional` that the
        checkpoint does not have are removed.

        Raises:
            CheckpointError: It is damaged, of another identity, or does not fit the tensors.
        """
        place = self.folder / f"step-{step:08d}"
        record = read_record(place)
        stored, expected = _flatten(record["identity"]), _flatten(self.identity)
        if differences := sorted(k for k in stored.keys() | expected if stored.get(k) != expected.get(k)):
            raise CheckpointError(
                "the checkpoint was made with "
                + ", ".join(f"{name} {stored.get(name)} (not {expected.get(name)})" for name in differences),
                where=str(place),
                remedy="use the same settings, or train into another folder",
            )
        errors: list[str | None] = [None] * dist.get_world_size()
        damage = verify_files(place, record["files"], dist.get_rank(), len(errors))
        dist.all_gather_object(errors, damage)
        raise_first(errors, place, REMEDY)
        self._continue_history(step, record["history"])
        for name in optional - set(stored_parts(record)):
            state.pop(name, None)
        read_files(place, state)

    def _continue_history(self, step: int, history: list[dict[str, Any]]) -> None:
        """Take over the history of a checkpoint, and add the settings that have changed since."""
        now = self._history[0]["settings"]
        self._history = history
        self.changes = self.change_settings(step, now)

    def change_settings(
        self, step: int, settings: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
    ) -> dict[str, tuple[Any, Any]]:
        """Record the settings, and the metadata, that are in effect from `step` on.

        Returns:
            The settings that changed: (old, new) by name.
        """
        if metadata is not None:
            self.metadata |= _plain(metadata)
        before: dict[str, Any] = {}
        for entry in self._history:
            before |= entry["settings"]
        now = _plain(settings)
        changed = [name for name in now if name not in before or before[name] != now[name]]
        if changed:
            entry = {"step": step, "settings": {name: now[name] for name in changed}}
            self._history = [*self._history, entry]
        return {name: (before.get(name), now[name]) for name in changed}

    def _delete_old(self) -> None:
        complete = sorted(self.folder.glob("step-*"))
        for old in complete[: -self.keep_latest]:
            shutil.rmtree(old)
        for unfinished in self.folder.glob("unfinished-*"):
            shutil.rmtree(unfinished)


def latest_step(folder: Path) -> int | None:
    """The step of the newest complete checkpoint in a folder, or None.

    Raises:
        CheckpointError: The file `latest` does not name a checkpoint.
    """
    pointer = folder / "latest"
    if not pointer.exists():
        return None
    name = pointer.read_text().strip()
    if not name.removeprefix("step-").isdecimal():
        raise CheckpointError(
            f"the file names {name!r}, which is not a checkpoint",
            where=str(pointer),
            remedy="write the name of a step-* folder into it",
        )
    return int(name.removeprefix("step-"))


def read_record(place: Path) -> dict[str, Any]:
    """Read the record of a checkpoint. `verify_files` checks the other files.

    Raises:
        CheckpointError: The checkpoint is incomplete, or its format is another.
    """
    try:
        record: dict[str, Any] = json.loads((place / RECORD_FILE).read_text())
    except FileNotFoundError:
        raise CheckpointError("this is not a complete checkpoint", where=str(place), remedy=REMEDY) from None
    except ValueError as error:
        raise CheckpointError(
            f"the file {RECORD_FILE} of the checkpoint is not what was written",
            where=str(place),
            remedy=REMEDY,
        ) from error
    if "identity" not in record:
        raise CheckpointError(
            "an older version of Clipmill wrote this checkpoint",
            where=str(place),
            remedy="train into another folder",
        )
    return record


def stored_parts(record: Mapping[str, Any]) -> list[str]:
    """The keys of the state of a checkpoint. Versions that did not record them stored all."""
    parts: list[str] = record.get("parts", ["ema", "model", "optimizers"])
    return parts


def _is_any(value: bool) -> bool:
    """Whether the value is true on any rank."""
    flag = torch.tensor(float(value))
    dist.all_reduce(flag)
    return bool(flag)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return plain


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _write_atomically(file: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new content."""
    temporary = file.with_name(file.name + ".new")
    with temporary.open("w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.rename(file)
