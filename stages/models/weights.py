"""Files of weights: found, digested and read as plain tensors, or an error that says what to do.

Nothing in a file is run: safetensors are tensors, and torch's own files are read with `weights_only=True`.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import ClipmillError

if TYPE_CHECKING:
    import torch

ENDINGS = (".safetensors", ".pth", ".pt", ".bin")


class NoWeights(ClipmillError):
    """Weights that a stage was told to use cannot be found, read, or do not fit. Never a row's fault."""


def digest_of_files(paths: Iterable[Path]) -> str:
    """One digest of the bytes of files, in that order."""
    parts = []
    for path in paths:
        about = path.stat()
        parts.append(_digest(path, about.st_mtime_ns, about.st_size))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


@lru_cache(maxsize=16)
def _digest(path: Path, changed_ns: int, size_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path, what: str) -> "dict[str, torch.Tensor]":
    """The tensors of a safetensors file or of a state dict that torch saved, by name.

    Args:
        what: whose weights they are, for the error: "the aesthetic head".

    Raises:
        NoWeights: there is no such file, or it holds anything but tensors.
    """
    import torch
    from safetensors.torch import load_file

    if path.suffix not in ENDINGS or not path.is_file():
        raise NoWeights(
            f"{what} has no weights",
            where=str(path),
            remedy=f"name a file that ends in {', '.join(ENDINGS)}",
        )
    try:
        if path.suffix == ".safetensors":
            read = load_file(path)
        else:
            read = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NoWeights(
            f"the weights of {what} cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="save its state dict as .safetensors; a file that must be unpickled is not read",
        ) from error
    read = read.get("state_dict", read) if isinstance(read, dict) else read
    if not isinstance(read, dict) or not all(isinstance(value, torch.Tensor) for value in read.values()):
        raise NoWeights(
            f"the weights of {what} are no table of tensors", where=str(path), remedy="save its state dict"
        )
    return read
