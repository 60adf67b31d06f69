"""The batches of ranks that share the tokens of one clip: one rank reads, and the others receive."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.distributed as dist

from training.data.batches import BatchLoader, LatentBatch
from training.diffusion.conditioning import Conditioning
from training.errors import LostRankError


@dataclass
class ContextBatches:
    """The batches of one context group. Only its first rank reads; it broadcasts them to the others.

    Attributes:
        loader: The batches of this group. Its threads only start on the rank that reads.
        group: The ranks of the group.
        waited_s: Seconds spent waiting for data, the broadcast included.
    """

    loader: BatchLoader
    group: dist.ProcessGroup
    waited_s: float = 0.0

    def microbatches(self, step: int) -> list[LatentBatch]:
        """The microbatches of this group at a step, with the bits that each rank would have read.

        Raises:
            LostRankError: The rank that reads failed. It raises the cause itself.
        """
        started = time.perf_counter()
        batches: list[LatentBatch] = []
        message: list[Any] = [None]
        error: Exception | None = None
        is_reader = dist.get_rank(self.group) == 0
        if is_reader:
            try:
                batches = self.loader.microbatches(step)
                message = [[_describe(batch) for batch in batches]]
            except Exception as caught:
                error, message = caught, [f"{type(caught).__name__}: {caught}"]
        dist.broadcast_object_list(message, group=self.group, group_src=0, device=torch.device("cpu"))
        if error is not None:
            raise error
        if isinstance(message[0], str):
            raise LostRankError(
                f"the rank that reads the clips of this rank failed: {message[0]}",
                where=f"rank {dist.get_rank()} of {dist.get_world_size()}",
            )
        if not is_reader:
            batches = [_empty(description, self.loader.device) for description in message[0]]
        for batch in batches:
            for tensor in (batch.latents, *_tensors(batch.conditioning).values()):
                dist.broadcast(tensor, group=self.group, group_src=0)
        self.waited_s += time.perf_counter() - started
        return batches

    def sample_ids(self, step: int) -> Sequence[str]:
        """The ids of all samples of a step, over all ranks."""
        return self.loader.sample_ids(step)

    def close(self) -> None:
        """Stop prefetching."""
        self.loader.close()


def _tensors(conditioning: Conditioning) -> dict[str, torch.Tensor]:
    """The tensors of a conditioning, by the names of their fields."""
    values = {field.name: getattr(conditioning, field.name) for field in fields(conditioning)}
    return {name: value for name, value in values.items() if value is not None}


def _describe(batch: LatentBatch) -> dict[str, Any]:
    """All of a batch but the values of its tensors."""
    tensors = {"latents": batch.latents, **_tensors(batch.conditioning)}
    return {
        "texts": (batch.ids, batch.positions, batch.captions),
        "tensors": {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()},
    }


def _empty(description: dict[str, Any], device: torch.device) -> LatentBatch:
    """A batch of uninitialized tensors."""
    tensors = {
        name: torch.empty(shape, dtype=dtype, device=device)
        for name, (shape, dtype) in description["tensors"].items()
    }
    ids, positions, captions = description["texts"]
    return LatentBatch(ids, positions, tensors.pop("latents"), captions, Conditioning(**tensors))
