"""The order of samples: a pure function of (seed, step), so that one integer is the loader's whole state.

Each bucket has an endless stream: its samples, epoch after epoch, each epoch shuffled anew; batch k takes
the samples k * batch and on. In an epoch the shards are permuted, laid end to end, and shuffled inside
windows, so that reading stays near one place. In round r the buckets give, in shuffled order, the batches
that an r-th pass over all samples completes: so buckets take turns by size, and every sample is seen as
often as any other, but for one batch. How many ranks share a batch plays no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

Hashes = np.ndarray  # uint64
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio


class Place(NamedTuple):
    """Where a sample lies: the shard of its bucket, and its number in that shard."""

    shard: int
    sample: int


@dataclass(frozen=True)
class Order:
    """The order of one data set.

    Attributes:
        counts: per bucket, the number of samples of each of its shards.
        batch: samples per step, over all ranks.
        seed: of the shuffling.
        window: samples that are shuffled among each other.
    """

    counts: tuple[tuple[int, ...], ...]
    batch: int
    seed: int = 0
    window: int = 4096

    def __post_init__(self) -> None:
        if not self.counts or any(sum(shards) < 1 for shards in self.counts):
            raise ValueError("a data set has at least one bucket, and a bucket at least one sample")
        if self.batch < 1 or self.window < 1:
            raise ValueError(f"batch is {self.batch} and window {self.window}; both are at least 1")

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """Samples per bucket."""
        return tuple(sum(shards) for shards in self.counts)

    def before(self, round_: int) -> int:
        """How many steps are taken before a round."""
        return sum(round_ * total // self.batch for total in self.totals)

    def at(self, step: int) -> tuple[int, list[Place]]:
        """The bucket of a step, and the places of its `batch` samples."""
        round_ = self._round(step)
        buckets, numbers = _schedule(self, round_)
        turn = step - self.before(round_)
        bucket, first = int(buckets[turn]), int(numbers[turn]) * self.batch
        return bucket, [self._place(bucket, position) for position in range(first, first + self.batch)]

    def _round(self, step: int) -> int:
        """The round that a step belongs to: the last one that begins at or before it."""
        low, high = 0, 1
        while self.before(high) <= step:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.before(middle) <= step else (low, middle)
        return low

    def _place(self, bucket: int, streamed: int) -> Place:
        epoch, position = divmod(streamed, self.totals[bucket])
        shards, ends = _shards(self, epoch, bucket)
        window = position // self.window
        shuffled = int(_window(self, epoch, bucket, window)[position - window * self.window])
        nth = int(np.searchsorted(ends, shuffled, side="right"))
        start = int(ends[nth - 1]) if nth else 0
        return Place(int(shards[nth]), shuffled - start)


def share(places: Sequence[Place], rank: int, ranks: int) -> Sequence[Place]:
    """The slice of a batch that falls to a rank.

    Raises:
        ValueError: the batch cannot be shared equally.
    """
    if len(places) % ranks:
        raise ValueError(f"a batch of {len(places)} samples cannot be shared equally by {ranks} ranks")
    each = len(places) // ranks
    return places[rank * each : (rank + 1) * each]


def hashes(count: int, *words: int) -> Hashes:
    """`count` well mixed 64-bit words, the same on every machine. Source: splitmix64, Steele et al. 2014."""
    mask = (1 << 64) - 1
    state = 0
    for word in words:
        state = int(_mix(np.array([(state ^ (word & mask)) & mask], np.uint64))[0])
    with np.errstate(over="ignore"):
        return _mix(np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)


def _mix(z: Hashes) -> Hashes:
    with np.errstate(over="ignore"):
        z = z + GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: Hashes = z ^ (z >> np.uint64(31))
    return mixed


@lru_cache(maxsize=4)
def _schedule(order: Order, round_: int) -> tuple[np.ndarray, np.ndarray]:
    """For each step of a round its bucket, and the number of its batch in that bucket's stream."""
    spans = [np.arange(round_ * n // order.batch, (round_ + 1) * n // order.batch) for n in order.totals]
    buckets = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
    shuffled = np.argsort(hashes(len(buckets), order.seed, round_, 1), kind="stable")
    return buckets[shuffled], np.concatenate(spans)[shuffled]


@lru_cache(maxsize=64)
def _shards(order: Order, epoch: int, bucket: int) -> tuple[np.ndarray, np.ndarray]:
    """A bucket's shards in the order of an epoch, and the position behind each one's last sample."""
    counts = np.array(order.counts[bucket])
    shuffled = np.argsort(hashes(len(counts), order.seed, epoch, 2, bucket), kind="stable")
    return shuffled, np.cumsum(counts[shuffled])


@lru_cache(maxsize=16)
def _window(order: Order, epoch: int, bucket: int, window: int) -> np.ndarray:
    """The shuffled positions of a window."""
    start = window * order.window
    count = min(order.window, order.totals[bucket] - start)
    return start + np.argsort(hashes(count, order.seed, epoch, 3, bucket, window), kind="stable")
