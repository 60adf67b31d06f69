"""Reads the tensors of a checkpoint one by one, in one process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from training.adapters.weight_files import DTYPES, Weights
from training.errors import CheckpointError
from training.loop.checkpoint_files import CheckpointLoadPlanner, CheckpointReader

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def open_stored_weights(place: Path, prefix: str, expected: Mapping[str, torch.Size]) -> Weights:
    """Open tensors of a checkpoint, each of which is read when it is looked up.

    Args:
        place: The folder of the checkpoint.
        prefix: The key of the dictionary that contains them.
        expected: The shape of each, by name.

    Raises:
        CheckpointError: The checkpoint does not have a tensor, or it has another shape.
    """
    reader = CheckpointReader(place)
    stored = reader.read_metadata().state_dict_metadata
    entries = {}
    for name, shape in expected.items():
        found = stored.get(f"{prefix}.{name}")
        if not isinstance(found, TensorStorageMetadata) or found.size != shape:
            size = tuple(found.size) if isinstance(found, TensorStorageMetadata) else "missing"
            raise CheckpointError(
                f"the checkpoint does not fit the model: {name} is {size}, not {tuple(shape)}",
                where=str(place),
            )
        entries[name] = _StoredTensor(reader, f"{prefix}.{name}", shape, found.properties.dtype)
    return Weights(entries)


@dataclass(frozen=True)
class _StoredTensor:
    """A tensor of a checkpoint, with the interface of a slice of a safetensors file."""

    reader: CheckpointReader
    name: str
    shape: torch.Size
    dtype: torch.dtype

    def get_shape(self) -> list[int]:
        return list(self.shape)

    def get_dtype(self) -> str:
        return _NAMES[self.dtype]

    def __getitem__(self, index: Any) -> Tensor:
        tensor = torch.empty(self.shape, dtype=self.dtype)
        metadata, planner = self.reader.read_metadata(), CheckpointLoadPlanner()
        planner.set_up_planner({self.name: tensor}, metadata, is_coordinator=True)
        self.reader.set_up_storage_reader(metadata, is_coordinator=True)
        (plan,) = planner.create_global_plan([planner.create_local_plan()])
        self.reader.read_data(planner.finish_plan(plan), planner).wait()
        part: Tensor = tensor[index]
        return part
