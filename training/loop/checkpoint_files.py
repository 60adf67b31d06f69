"""Writes and reads the files of one checkpoint; only tensors and plain values are read from them.

The files are those of torch.distributed.checkpoint: each rank writes its own shards, and rank 0 `.metadata`.
torch reads `.metadata` and values that are not tensors with pickle. Here the unpickler of `.metadata` knows
only the classes that describe tensors, and the values are read by `torch.load` with `weights_only=True`.
"""

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import ReadItem
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from training.errors import CheckpointError

REMEDY = "write the name of an older step-* folder into `latest`, or train into another folder"
_METADATA_CLASSES = {
    "torch.distributed.checkpoint.metadata": (
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.serialization": ("_get_layout",),
    "torch": ("Size",),
    "pathlib": ("Path", "PosixPath"),
    "pathlib._local": ("Path", "PosixPath"),
}


def write_files(place: Path, state: dict[str, Any], group: dist.ProcessGroup | None) -> dict[str, str]:
    """Write the shards of all ranks, and read each file again on the rank that wrote it.

    Args:
        place: The folder.
        state: Nested dictionaries and lists of tensors, distributed tensors and plain values.
        group: The ranks that call it; None for all.

    Returns:
        On rank 0 the SHA-256 of each file by name, computed from what was written; else of no file.

    Raises:
        CheckpointError: A file of any rank cannot be written, or is read differently.
    """
    writer = FileSystemWriter(place)
    files = writer.fs = _DigestingFileSystem()
    error: str | None = None
    try:
        save(state, storage_writer=writer, process_group=group)
        for name, digest in files.digests.items():
            if digest_of(place / name) != digest:
                error = f"the file {name} is not what was written"
    except (OSError, CheckpointException) as caught:
        error = files.error or reason(caught)
    everyone: list[tuple[str | None, dict[str, str]]] = [(None, {})] * dist.get_world_size(group)
    dist.all_gather_object(everyone, (error, files.digests), group=group)
    raise_first([error for error, _ in everyone], place)
    return {name: digest for _, digests in everyone for name, digest in sorted(digests.items())}


def verify_files(place: Path, digests: Mapping[str, str], part: int = 0, num_parts: int = 1) -> str | None:
    """Which file of a checkpoint is missing or damaged, in words; None if none is.

    Args:
        place: The folder of the checkpoint.
        digests: The SHA-256 of each file by name.
        part: Which part of the files to read.
        num_parts: Number of parts.
    """
    for name in sorted(digests)[part::num_parts]:
        if not (place / name).is_file():
            return f"the file {name} of the checkpoint is missing"
        if digest_of(place / name) != digests[name]:
            return f"the file {name} of the checkpoint is not what was written"
    return None


def read_files(place: Path, state: dict[str, Any]) -> None:
    """Read a checkpoint into the tensors of `state`, which may have a part of its keys.

    Raises:
        CheckpointError: A key is missing, a tensor has another shape, or a file cannot be read.
    """
    try:
        load(state, storage_reader=CheckpointReader(place), planner=CheckpointLoadPlanner())
    except CheckpointException as error:
        raise CheckpointError(
            f"the checkpoint does not fit the model: {reason(error)}",
            where=str(place),
            remedy="use the settings of the checkpoint, or train into another folder",
        ) from error


def raise_first(errors: list[str | None], place: Path, remedy: str = "") -> None:
    """Raise the first error of all ranks, if there is one."""
    if first := next((error for error in errors if error), None):
        raise CheckpointError(first, where=str(place), remedy=remedy)


def reason(error: BaseException) -> str:
    """The cause of an error in one line."""
    if isinstance(error, CheckpointException):
        return next((str(failure[0]) for failure in error.failures.values()), str(error)).splitlines()[0]
    return str(error)


def digest_of(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class _DigestingFile:
    """A file that is written from its start to its end, and its digest."""

    def __init__(self, stream: Any, files: "_DigestingFileSystem") -> None:
        self._stream, self._files, self.digest = stream, files, hashlib.sha256()
        self.tell, self.flush, self.fileno, self.close = (
            stream.tell,
            stream.flush,
            stream.fileno,
            stream.close,
        )

    def write(self, content: Any) -> int:
        try:
            count: int = self._stream.write(content)
        except OSError as error:
            self._files.error = str(error)  # torch's own error does not have it
            raise
        self.digest.update(content)
        return count


class _DigestingFileSystem(FileSystem):
    """Files whose digest is computed while they are written.

    Attributes:
        digests: SHA-256 of each file, by name.
        error: The last error of a write.
    """

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.error: str | None = None

    @contextmanager
    def create_stream(self, path: Any, mode: str) -> Iterator[Any]:
        with super().create_stream(path, mode) as stream:
            file = _DigestingFile(stream, self)
            yield file
        self.digests[Path(path).name] = file.digest.hexdigest()

    def rename(self, path: Any, new_path: Any) -> None:
        super().rename(path, new_path)
        self.digests[Path(new_path).name] = self.digests.pop(Path(path).name)


class _MetadataUnpickler(pickle.Unpickler):
    """Unpickles the description of tensors, and refuses all other classes and functions."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _METADATA_CLASSES.get(module, ()):
            return super().find_class(module, name)
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f".metadata contains {module}.{name}, which no checkpoint needs")


class CheckpointReader(FileSystemReader):
    """Reads the files of a checkpoint without executing anything in them."""

    @cache  # noqa: B019 - as long as the reader
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with (Path(self.path) / ".metadata").open("rb") as opened:
            metadata: Metadata = _MetadataUnpickler(opened).load()
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class CheckpointLoadPlanner(DefaultLoadPlanner):
    """Reads values that are not tensors without executing anything in them."""

    def load_bytes(self, read_item: ReadItem, value: Any) -> None:
        torch.load(value, weights_only=True)  # refuses what super() would execute
        value.seek(0)
        super().load_bytes(read_item, value)
