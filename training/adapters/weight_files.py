"""Reads tensors one by one from safetensors files, folders of them, and PyTorch files."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.errors import CheckpointError

WEIGHTS_STEM = "diffusion_pytorch_model"  # of diffusers folders
INDEX_SUFFIX = ".safetensors.index.json"
DTYPES = {  # names in safetensors files, in the order of their tensors
    "F64": torch.float64,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
}
_NESTED = ("model", "module", "state_dict")  # keys under which PyTorch files may store the weights


class Weights(Mapping[str, Tensor]):
    """Tensors by name, each read when it is looked up.

    Args:
        entries: Tensors, or slices of safetensors files, or objects that can be read like these.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._entries[name][...]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        entry = self._entries[name]
        return tuple(entry.shape if isinstance(entry, Tensor) else entry.get_shape())

    def dtype(self, name: str) -> torch.dtype:
        """The type of a tensor, without reading it."""
        entry = self._entries[name]
        return entry.dtype if isinstance(entry, Tensor) else DTYPES[entry.get_dtype()]

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Some rows of a tensor, without reading the others."""
        rows: Tensor = self._entries[name][start:stop]
        return rows

    def combine(self, other: "Weights") -> "Weights":
        """These tensors and those of `other`, which have other names."""
        return Weights(self._entries | other._entries)

    def rename(self, names: Mapping[str, str]) -> "Weights":
        """Some of these tensors under other names: for each new name the old one."""
        return Weights({new: self._entries[old] for new, old in names.items()})


def open_weights(path: Path) -> Weights:
    """The tensors of a safetensors file, of a PyTorch file, or of the files of a diffusers folder.

    Raises:
        CheckpointError: There are no weights, or a file cannot be read.
    """
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == ".safetensors":
        return Weights(_open_safetensors(path))
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return Weights(_open_torch(path))
    raise CheckpointError(
        "this is not a file of weights",
        where=str(path),
        remedy="name a safetensors file, a .pt file or a folder",
    )


def _open_folder(folder: Path) -> Weights:
    indices = sorted(folder.glob(f"*{INDEX_SUFFIX}"))
    files = sorted(folder.glob("*.safetensors"))
    if len(indices) == 1:
        return _open_index(indices[0])
    if len(files) != 1:
        problem = "there is more than one file of weights" if files else "there are no safetensors files"
        raise CheckpointError(f"{problem} in this folder", where=str(folder), remedy="name the file to read")
    return Weights(_open_safetensors(files[0]))


def _open_index(index: Path) -> Weights:
    try:
        sources: dict[str, str] = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError("the index of the weights is damaged", where=str(index)) from error
    entries: dict[str, Any] = {}
    for name in sorted(set(sources.values())):
        if Path(name).name != name:
            raise CheckpointError(f"the index names a file outside its folder: {name}", where=str(index))
        opened = _open_safetensors(index.parent / name)
        wrong = sorted({key for key, file in sources.items() if file == name} ^ set(opened))
        if wrong:
            raise CheckpointError(
                f"{name} does not contain exactly the tensors of the index, for example {wrong[0]}",
                where=str(index),
            )
        entries |= opened
    return Weights(entries)


def _open_safetensors(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(file, framework="pt")
        return {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError("there is no such file", where=str(file)) from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"this file cannot be read: {error}", where=str(file)) from error


def _open_torch(file: Path) -> dict[str, Any]:
    """The weights of a PyTorch file, mapped into memory. Nothing in the file is executed."""
    try:
        with torch.serialization.safe_globals([io.BytesIO]):  # of "_extra_state" entries
            content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise CheckpointError("there is no such file", where=str(file)) from None
    except Exception as error:
        message = str(error).splitlines()[0]
        raise CheckpointError(f"this file cannot be read: {message}", where=str(file)) from error
    while isinstance(content, dict) and len(content) and not _tensors(content):
        nested = [key for key in _NESTED if isinstance(content.get(key), dict)]
        if not nested:
            break
        content = content[nested[0]]
    if not isinstance(content, dict) or not _tensors(content):
        raise CheckpointError("this file contains no weights", where=str(file))
    return dict(content)


def _tensors(content: dict[Any, Any]) -> list[Any]:
    return [value for value in content.values() if isinstance(value, Tensor)]
