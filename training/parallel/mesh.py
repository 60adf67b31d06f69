"""The one owner of how ranks are arranged: replicate x shard x context.

Rank = (replicate * shards + shard) * contexts + context, so that ranks that share a clip are neighbours.
Data is split over replicate x shard; parameters are sharded over shard x context, since context ranks hold
equal copies.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from training.errors import LayoutError

TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Layout:
    """How many ranks along each axis.

    Attributes:
        replicate: copies of the whole model.
        shard: ranks that share one copy's parameters and read different data; 0 takes what is left over.
        context: ranks that share the tokens of one clip.
    """

    replicate: int = 1
    shard: int = 0
    context: int = 1

    def over(self, world: int) -> "Layout":
        """This layout on `world` ranks, with `shard` known.

        Raises:
            LayoutError: the axes do not multiply to `world`.
        """
        if self.replicate < 1 or self.shard < 0 or self.context < 1:
            raise LayoutError(f"{self} has an axis without ranks")
        others = self.replicate * self.context
        shard = self.shard or world // others
        if shard * others != world:
            asked = f"replicate {self.replicate} x shard {self.shard or '?'} x context {self.context}"
            raise LayoutError(
                f"{asked} does not make {world} ranks",
                remedy=f"start a multiple of {others * (self.shard or 1)} ranks, or change the axes",
            )
        return replace(self, shard=shard)


class Mesh:
    """The ranks of this run, arranged. Made once, inside `process_group`, on every rank."""

    def __init__(self, layout: Layout) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.layout = layout.over(self.world)
        self.device = this_device()
        replicate, shard, context = self.layout.replicate, self.layout.shard, self.layout.context
        self.data_ranks = replicate * shard
        self.data_rank, self.context_rank = divmod(self.rank, context)
        kind = self.device.type
        self._state = init_device_mesh(kind, (replicate, shard * context), mesh_dim_names=("copy", "state"))
        self._clip = init_device_mesh(kind, (self.data_ranks, context), mesh_dim_names=("data", "context"))

    @property
    def sharding(self) -> DeviceMesh:
        """What parameters are laid out over: [shard x context], or [replicate, shard x context]."""
        return self._state if self.layout.replicate > 1 else self._state["state"]

    @property
    def context_group(self) -> dist.ProcessGroup:
        """The ranks that share this rank's clips."""
        return self._clip.get_group("context")

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all ranks."""
        total = values.detach().clone()
        dist.all_reduce(total)
        return total / self.world


def this_device() -> torch.device:
    """The GPU of this rank if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@contextmanager
def process_group() -> Iterator[None]:
    """The group of ranks that torchrun's variables describe; without them a group of one.

    A group that stands already is used, and left standing.
    """
    if dist.is_initialized():
        yield
        return
    device = this_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=TIMEOUT)
    else:
        dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()
