"""Batches by step: what a rank reads at a step, fetched one step ahead in a thread."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch

from training.data.order import Order, share
from training.data.shards import LatentShards


class Clips(NamedTuple):
    """Some clips of one shape: their ids, latents [b c t h w] in float32, and captions."""

    ids: tuple[str, ...]
    latents: torch.Tensor
    captions: tuple[str, ...]


@dataclass
class Batches:
    """The batches of one data rank.

    Attributes:
        shards, order: what is read, and in which order.
        rank, ranks: this rank's place among those that read different samples.
        parts: slices that a step's batch is cut into, to be worked on one after another.
        device: where the latents are put.
        waited_s: seconds spent waiting for data since the object was made.
    """

    shards: LatentShards
    order: Order
    rank: int = 0
    ranks: int = 1
    parts: int = 1
    device: torch.device = torch.device("cpu")
    waited_s: float = 0.0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[list[Clips]]] | None = None

    def at(self, step: int) -> list[Clips]:
        """The `parts` slices of this rank at a step; reading of the next step starts."""
        started = time.perf_counter()
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = step, self._pool.submit(self.read, step)
        ready = self._ahead[1].result()
        self.waited_s += time.perf_counter() - started
        self._ahead = step + 1, self._pool.submit(self.read, step + 1)
        return [clips._replace(latents=clips.latents.to(self.device)) for clips in ready]

    def read(self, step: int) -> list[Clips]:
        """As `at`, in this thread and without reading ahead.

        The slices of all ranks, laid part by part, are the batch: rank r of R has in part m the slice
        m * R + r. So the sum over parts and ranks is over the same samples at any layout.
        """
        bucket, places = self.order.at(step)
        slices: list[Clips] = []
        for part in range(self.parts):
            mine = share(places, part * self.ranks + self.rank, self.parts * self.ranks)
            samples = [self.shards.read(bucket, place) for place in mine]
            latents = torch.stack([s.latents for s in samples]).float()
            slices.append(Clips(tuple(s.id for s in samples), latents, tuple(s.caption for s in samples)))
        return slices

    def names(self, step: int) -> list[str]:
        """The ids of all samples of a step, over all ranks."""
        bucket, places = self.order.at(step)
        return [self.shards.read(bucket, place).id for place in places]

    def close(self) -> None:
        """Stop reading ahead."""
        self._pool.shutdown(cancel_futures=True)
        self._ahead = None
