"""Weight files: find them, compute their digest and read them as plain tensors.

No code in a file runs: safetensors files hold only tensors, and torch's own files are read with
`weights_only=True`.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import ClipmillError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


class WeightsError(ClipmillError):
    """The weights that a stage needs are missing, not readable, or do not fit. No row is at fault."""


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 digest of the bytes of all files. The order of the files counts."""
    parts = []
    for path in paths:
        about = path.stat()
        parts.append(_digest(path, about.st_mtime_ns, about.st_size))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


@lru_cache(maxsize=16)
def _digest(path: Path, changed_ns: int, size_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed_weights(package: str, name: str, owner: str, remedy: str) -> Path:
    """Return a file of weights that comes with a Python package, which is not imported.

    Args:
        package: The package, as it is imported.
        name: The file, in the folder of the package.
        owner: The network that the weights belong to, for the error message.
        remedy: How to get them.

    Raises:
        WeightsError: the package is not installed, or has no such file.
    """
    spec = find_spec(package)
    path = Path(spec.origin).parent / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise WeightsError(f"{owner} has no weights", where=f"the Python package {package}", remedy=remedy)
    return path


def read_tensors(path: Path, owner: str) -> "dict[str, torch.Tensor]":
    """Read the tensors of a safetensors file, or of a state dict that torch saved, by name.

    Args:
        owner: The network that the weights belong to, for the error message, such as "the aesthetic head".

    Raises:
        WeightsError: the file does not exist, or it holds anything but tensors.
    """
    import torch
    from safetensors.torch import load_file

    if path.suffix not in SUFFIXES or not path.is_file():
        raise WeightsError(
            f"{owner} has no weights",
            where=str(path),
            remedy=f"name a file that ends in {', '.join(SUFFIXES)}",
        )
    try:
        loaded: Any
        if path.suffix == ".safetensors":
            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"the weights of {owner} cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="save its state dict as .safetensors; files that need unpickling are not read",
        ) from error
    loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(
            f"the weights of {owner} are not a table of tensors",
            where=str(path),
            remedy="save its state dict",
        )
    return loaded


def open_onnx(path: Path, what: str, remedy: str, content: bytes | None = None) -> Any:
    """Return an onnxruntime session on one thread of the CPU.

    Args:
        what: The network that the weights belong to, for the error message, such as "the text detector".
        remedy: What to do about a broken file.
        content: Its content, if it differs from the file.

    Raises:
        WeightsError: onnxruntime cannot read the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        model = path.read_bytes() if content is None else content
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(
            f"the weights of {what} cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy=remedy,
        ) from error
