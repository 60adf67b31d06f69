"""Writes safetensors files tensor by tensor: only one of them is gathered, converted and in memory at a time.

Source of the layout: https://github.com/huggingface/safetensors#format. The bytes equal those that
`safetensors.torch.save_file` writes.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from training.adapters.weight_files import DTYPES, Weights
from training.errors import CheckpointError

_NAMES = {dtype: name for name, dtype in DTYPES.items()}  # in the order in which a file has them
_ALIGNMENT = 8


def write_safetensors(
    file: Path,
    weights: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    dtype: torch.dtype | None = None,
    is_writer: bool = True,
) -> int:
    """Write tensors into a file, which is replaced when all are written.

    Args:
        file: Its folder exists.
        weights: Tensors on any device, or `Weights`, of floating point types. Distributed tensors are
            gathered one by one; then all of their ranks must call this.
        metadata: Texts in the header of the file.
        dtype: Type of the written tensors; None keeps theirs.
        is_writer: Whether this rank writes.

    Returns:
        The bytes of all tensors.

    Raises:
        CheckpointError: The file cannot be written.
    """
    kinds = {name: _kind(weights, name, dtype) for name in weights}
    order = list(_NAMES)
    names = sorted(kinds, key=lambda name: (order.index(kinds[name][0]), name))
    if not is_writer:
        for name in names:
            _gather(weights[name])
        return 0
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        kind, shape = kinds[name]
        start, end = end, end + kind.itemsize * shape.numel()
        header[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    temporary = file.with_name(file.name + ".new")
    try:
        with temporary.open("wb") as opened:
            opened.write(len(text).to_bytes(_ALIGNMENT, "little") + text)
            for name in names:
                tensor = _gather(weights[name]).to("cpu", kinds[name][0]).contiguous()
                opened.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
        temporary.rename(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"the weights cannot be written: {error}",
            where=str(file),
            remedy="free disk space, or choose another folder",
        ) from error
    return end


def _kind(
    weights: Mapping[str, Tensor], name: str, dtype: torch.dtype | None
) -> tuple[torch.dtype, torch.Size]:
    """The type and the shape of a tensor in the file."""
    if isinstance(weights, Weights):
        return dtype or weights.dtype(name), torch.Size(weights.shape(name))
    return dtype or weights[name].dtype, weights[name].shape


def _gather(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
