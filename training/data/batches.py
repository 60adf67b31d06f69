"""Loads the batch of each step, and prefetches the next one in a thread."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch

from training.data.order import SampleOrder, slice_of_batch
from training.data.shards import LatentShards
from training.tensors import Latents


class LatentBatch(NamedTuple):
    """Clips of one shape: their ids, latents [b c t h w] in float32, and captions."""

    ids: tuple[str, ...]
    latents: Latents
    captions: tuple[str, ...]


@dataclass
class BatchLoader:
    """The batches of one data-parallel rank.

    Attributes:
        shards: The samples.
        order: The order in which they are read.
        data_rank: Number of this rank among those that read different samples.
        num_data_ranks: Number of ranks that read different samples.
        grad_accum_steps: Microbatches per step and rank.
        device: Device of the latents.
        waited_s: Seconds spent waiting for data since the object was created.
    """

    shards: LatentShards
    order: SampleOrder
    data_rank: int = 0
    num_data_ranks: int = 1
    grad_accum_steps: int = 1
    device: torch.device = torch.device("cpu")
    waited_s: float = 0.0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._prefetched: tuple[int, Future[list[LatentBatch]]] | None = None

    def microbatches(self, step: int) -> list[LatentBatch]:
        """The microbatches of this rank at a step. Starts to prefetch the next step."""
        started = time.perf_counter()
        if self._prefetched is None or self._prefetched[0] != step:
            self._prefetched = step, self._pool.submit(self.read, step)
        batches = self._prefetched[1].result()
        self.waited_s += time.perf_counter() - started
        self._prefetched = step + 1, self._pool.submit(self.read, step + 1)
        return [batch._replace(latents=batch.latents.to(self.device)) for batch in batches]

    def read(self, step: int) -> list[LatentBatch]:
        """Like `microbatches`, in this thread and without prefetching.

        The batch is cut into grad_accum_steps * num_data_ranks slices. Microbatch m of data rank r of R is
        slice m * R + r. So the sum over microbatches and ranks covers the same samples at any layout.
        """
        bucket, indices = self.order.batch(step)
        slices = self.grad_accum_steps * self.num_data_ranks
        batches: list[LatentBatch] = []
        for number in range(self.data_rank, slices, self.num_data_ranks):
            samples = [self.shards.read(bucket, index) for index in slice_of_batch(indices, number, slices)]
            latents = torch.stack([s.latents for s in samples]).float()
            batches.append(
                LatentBatch(tuple(s.id for s in samples), latents, tuple(s.caption for s in samples))
            )
        return batches

    def sample_ids(self, step: int) -> list[str]:
        """The ids of all samples of a step, over all ranks."""
        bucket, indices = self.order.batch(step)
        return [self.shards.read(bucket, index).id for index in indices]

    def close(self) -> None:
        """Stop prefetching."""
        self._pool.shutdown(cancel_futures=True)
        self._prefetched = None
