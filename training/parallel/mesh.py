"""The arrangement of ranks: dp_replicate x dp_shard x context_parallel.

Rank = (replica * dp_shard + shard) * context_parallel + context rank, so ranks that share a clip are
neighbors. Data is divided over dp_replicate x dp_shard. Parameters are sharded over dp_shard x
context_parallel, because context ranks have equal copies.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import _set_pg_timeout

from training.errors import LayoutError, LostRankError

INIT_TIMEOUT_S = 600


@dataclass(frozen=True)
class ParallelDims:
    """Number of ranks along each axis.

    Attributes:
        dp_replicate: Copies of the whole model.
        dp_shard: Ranks that shard the parameters of one copy and read different data. 0 takes all ranks that
            the other axes leave.
        context_parallel: Ranks that share the tokens of one clip.
    """

    dp_replicate: int = 1
    dp_shard: int = 0
    context_parallel: int = 1

    def resolve(self, world_size: int) -> "ParallelDims":
        """These dimensions for `world_size` ranks, with `dp_shard` known.

        Raises:
            LayoutError: The product of the axes is not `world_size`.
        """
        if self.dp_replicate < 1 or self.dp_shard < 0 or self.context_parallel < 1:
            raise LayoutError(
                f"{self} has an axis without ranks",
                remedy="set dp_replicate and context_parallel to 1 or more",
            )
        others = self.dp_replicate * self.context_parallel
        dp_shard = self.dp_shard or world_size // others
        if dp_shard * others != world_size:
            dims = (
                f"dp_replicate {self.dp_replicate} x dp_shard {self.dp_shard or '?'} x "
                f"context_parallel {self.context_parallel}"
            )
            raise LayoutError(
                f"{dims} does not make {world_size} ranks",
                remedy=f"start a multiple of {others * (self.dp_shard or 1)} ranks, or change the axes",
            )
        return replace(self, dp_shard=dp_shard)


class Mesh:
    """The ranks of this run. Create it once, inside `process_group`, on every rank."""

    def __init__(self, dims: ParallelDims) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.dims = dims.resolve(self.world_size)
        self.device = local_device()
        replicate, contexts = self.dims.dp_replicate, self.dims.context_parallel
        self.num_data_ranks = replicate * self.dims.dp_shard
        self.data_rank, self.context_rank = divmod(self.rank, contexts)
        kind = self.device.type
        shape = (replicate, self.dims.dp_shard * contexts)
        self._parameters = init_device_mesh(kind, shape, mesh_dim_names=("dp_replicate", "dp_shard_cp"))
        self._clips = init_device_mesh(kind, (self.num_data_ranks, contexts), mesh_dim_names=("dp", "cp"))

    @property
    def fsdp_mesh(self) -> DeviceMesh:
        """The mesh that parameters are sharded over: [dp_shard x cp], or [dp_replicate, dp_shard x cp]."""
        return self._parameters if self.dims.dp_replicate > 1 else self._parameters["dp_shard_cp"]

    @property
    def context_group(self) -> dist.ProcessGroup:
        """The ranks that share the clips of this rank."""
        return self._clips.get_group("cp")

    @property
    def groups(self) -> list[dist.ProcessGroup]:
        """All process groups of the mesh."""
        return [*self._parameters.get_all_groups(), *self._clips.get_all_groups()]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all ranks."""
        total = values.detach().clone()
        dist.all_reduce(total)
        return total / self.world_size


def local_device() -> torch.device:
    """The GPU of this rank if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@contextmanager
def process_group(timeout_s: float = INIT_TIMEOUT_S) -> Iterator[None]:
    """The process group that torchrun's environment variables describe; without them a group of one rank.

    An existing process group is used, and not destroyed.

    Args:
        timeout_s: Seconds that a collective operation waits for other ranks; `set_timeout` changes them.

    Raises:
        LostRankError: A collective operation failed because another rank ended.
    """
    if dist.is_initialized():
        yield
        return
    device, timeout = local_device(), timedelta(seconds=timeout_s)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=timeout)
    else:
        dist.init_process_group(backend, timeout=timeout)
    try:
        yield
    except RuntimeError as error:
        if not is_lost_rank(error):
            raise
        raise LostRankError(
            "another rank ended, or does not answer",
            where=f"rank {dist.get_rank()} of {dist.get_world_size()}",
            remedy="the message of that rank names the cause; without one, its machine failed, or it ran"
            " out of memory. Run again to resume from the last checkpoint",
        ) from error
    finally:
        dist.destroy_process_group()


def set_timeout(mesh: Mesh, timeout_s: float) -> None:
    """Set how many seconds the collective operations of all groups of a mesh wait for other ranks."""
    for group in (None, *mesh.groups):
        _set_pg_timeout(timedelta(seconds=timeout_s), group)


def is_lost_rank(error: RuntimeError) -> bool:
    """Whether a collective operation failed because of another rank; gloo and NCCL have no type for it."""
    words = ("Connection closed by peer", "Connection reset by peer", "gloo/", "NCCL")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)
