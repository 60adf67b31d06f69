"""Checkpoints: written to a temporary folder, verified, then renamed; `latest` is updated last.

    FOLDER/step-00000200/   torch.distributed.checkpoint files, and record.json
    FOLDER/latest           the name of the checkpoint to resume from

record.json has "step", "identity", "history", "metadata" and "files". The identity is what the bits mean: a
checkpoint of another identity is refused. The history lists the other settings, and from which step on each
of them was in effect: a run may resume with other values of these. "files" has the SHA-256 of each file.

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

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from training.errors import CheckpointError

RECORD_FILE = "record.json"


class CheckpointManager:
    """The checkpoints of one run, in a folder that all its ranks share.

    Args:
        folder: Created if it does not exist.
        identity: Plain values that determine the meaning of the state.
        settings: Plain values that may change when the run resumes. The history records them.
        metadata: Further plain values for readers of the checkpoint.
        keep_latest: Number of the newest checkpoints to keep.

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
    ) -> None:
        self.folder, self.keep_latest = folder, keep_latest
        self.identity, self.metadata = _plain(identity), _plain(metadata or {})
        self._history: list[dict[str, Any]] = [{"step": 0, "settings": _plain(settings or {})}]
        self.changes: dict[str, tuple[Any, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write `state` as the checkpoint of `step`. All ranks must call it.

        Raises:
            CheckpointError: It cannot be written, for example because the disk is full. Older checkpoints
                remain.
        """
        place, unfinished = self.folder / f"step-{step:08d}", self.folder / f"unfinished-{step:08d}"
        is_first = dist.get_rank() == 0
        if is_first:
            shutil.rmtree(unfinished, ignore_errors=True)
        dist.barrier()
        error: BaseException | None = None
        try:
            save(state, checkpoint_id=unfinished)
        except (OSError, CheckpointException) as caught:
            error = caught
        if _is_any(error is not None):
            raise self._cannot_write(unfinished, error)
        if is_first:
            try:
                self._publish(step, unfinished, place)
            except (OSError, CheckpointError) as caught:
                error = caught
        if _is_any(error is not None):
            raise self._cannot_write(unfinished, error)
        return place

    def _publish(self, step: int, unfinished: Path, place: Path) -> None:
        _write_record(
            unfinished,
            {
                "step": step,
                "identity": self.identity,
                "history": self._history,
                "metadata": self.metadata,
            },
        )
        read_record(unfinished)
        shutil.rmtree(place, ignore_errors=True)
        unfinished.rename(place)
        _write_atomically(self.folder / "latest", place.name)
        self._delete_old()

    def _cannot_write(self, unfinished: Path, error: BaseException | None) -> CheckpointError:
        """The error of a checkpoint that could not be written; what was written of it is removed."""
        if dist.get_rank() == 0:
            shutil.rmtree(unfinished, ignore_errors=True)
        latest = self.latest_step()
        kept = "there is no older checkpoint" if latest is None else f"that of step {latest} remains"
        return CheckpointError(
            f"the checkpoint could not be written: {_reason(error)}",
            where=str(self.folder),
            remedy=f"{kept}; free disk space or choose another folder, and run again to resume",
        )

    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return latest_step(self.folder)

    def load(self, step: int, state: dict[str, Any]) -> None:
        """Read the checkpoint of `step` into the tensors of `state`, and set `changes`.

        Raises:
            CheckpointError: It is damaged, or of another identity.
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
        self._continue_history(step, record["history"])
        load(state, checkpoint_id=place)

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
            self.metadata = _plain(metadata)
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
    """The step of the newest complete checkpoint in a folder, or None."""
    pointer = folder / "latest"
    return int(pointer.read_text().removeprefix("step-")) if pointer.exists() else None


def read_record(place: Path) -> dict[str, Any]:
    """Read the record of a checkpoint, and verify the digest of each of its files.

    Raises:
        CheckpointError: A file is missing or differs, or the format of the checkpoint is another.
    """
    try:
        record: dict[str, Any] = json.loads((place / RECORD_FILE).read_text())
    except FileNotFoundError:
        raise CheckpointError("this is not a complete checkpoint", where=str(place)) from None
    if "identity" not in record:
        raise CheckpointError(
            "an older version of Clipmill wrote this checkpoint",
            where=str(place),
            remedy="train into another folder",
        )
    for name, digest in record["files"].items():
        if not (place / name).exists() or _digest(place / name) != digest:
            raise CheckpointError(
                f"the file {name} of the checkpoint is not what was written",
                where=str(place),
                remedy="write the name of an older step-* folder into `latest`, or train into another folder",
            )
    return record


def _write_record(place: Path, record: Mapping[str, Any]) -> None:
    files = {f.name: _digest(f) for f in sorted(place.iterdir())}
    _write_atomically(place / RECORD_FILE, json.dumps({**record, "files": files}, indent=1))


def _is_any(value: bool) -> bool:
    """Whether the value is true on any rank."""
    flag = torch.tensor(float(value))
    dist.all_reduce(flag)
    return bool(flag)


def _reason(error: BaseException | None) -> str:
    """The cause of an error in one line."""
    if isinstance(error, CheckpointException):
        causes = [str(failure[0]) for failure in error.failures.values()]
        return causes[0] if causes else "another rank failed"
    return str(error) if error else "another rank failed"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return plain


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
