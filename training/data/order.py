"""The order of samples is a pure function of (seed, step), so the step is the whole state of the loader.

Each bucket has an endless stream: its samples, epoch after epoch, each epoch shuffled again. Batch k takes
the samples from k * batch size on. In an epoch the shards are permuted, concatenated, and shuffled inside
windows, so that reads stay close together. Round r contains, in shuffled order, the batches that an r-th pass
over all samples completes. So the buckets alternate by size, and every sample is read as often as any other,
except for one batch. The order does not depend on the number of ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
Indices: TypeAlias = npt.NDArray[np.signedinteger[Any]]
Index = TypeVar("Index")
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio


class SampleIndex(NamedTuple):
    """The position of a sample: the number of its shard in the bucket, and its number in that shard."""

    shard: int
    sample: int


@dataclass(frozen=True, eq=False)  # equal only to itself: the shuffles are cached by it, not by its counts
class SampleOrder:
    """The order of the samples of one data set. An epoch is shuffled once, at its first batch.

    Attributes:
        counts: Per bucket, the number of samples of each of its shards.
        batch_size: Samples per step, over all ranks. A tuple has one number for each bucket.
        seed: Seed of the shuffling.
        window: Number of consecutive samples that are shuffled together.
    """

    counts: tuple[tuple[int, ...], ...]
    batch_size: int | tuple[int, ...]
    seed: int = 0
    window: int = 4096

    def __post_init__(self) -> None:
        if not self.counts or any(sum(shards) < 1 for shards in self.counts):
            raise ValueError("a data set needs at least one bucket, and each bucket at least one sample")
        if min(self.batch_sizes) < 1 or self.window < 1:
            raise ValueError(
                f"batch_size is {self.batch_size} and window {self.window}; both must be at least 1"
            )

    @cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """Samples per step, per bucket."""
        sizes = self.batch_size
        return sizes if isinstance(sizes, tuple) else (sizes,) * len(self.counts)

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """Samples per bucket."""
        return tuple(sum(shards) for shards in self.counts)

    @cached_property
    def _sizes(self) -> tuple[Indices, ...]:
        """Samples of each shard, per bucket."""
        return tuple(np.array(shards) for shards in self.counts)

    def first_step(self, round_: int) -> int:
        """The first step of a round, which is the number of steps before it."""
        return sum(round_ * total // size for total, size in zip(self.totals, self.batch_sizes, strict=True))

    def batch(self, step: int) -> tuple[int, list[SampleIndex]]:
        """The bucket of a step, and the indices of its samples."""
        bucket, number = self._batch_of(step)
        size = self.batch_sizes[bucket]
        return bucket, self._sample_indices(bucket, number * size, size)

    def replacement(self, step: int, place: int, attempt: int) -> SampleIndex:
        """The sample that is tried as number `attempt` in a place of a batch, if another is to be skipped."""
        bucket, _ = self._batch_of(step)
        number = hash_words(1, self.seed, step, 4, place, attempt)[0] % np.uint64(self.totals[bucket])
        return self._sample_indices(bucket, int(number), 1)[0]

    def _batch_of(self, step: int) -> tuple[int, int]:
        """The bucket of a step, and the number of its batch in the stream of that bucket."""
        round_ = self._round(step)
        buckets, numbers = _schedule(self, round_)
        step_of_round = step - self.first_step(round_)
        return int(buckets[step_of_round]), int(numbers[step_of_round])

    def _round(self, step: int) -> int:
        """The round of a step: the last one that begins at or before it."""
        low, high = 0, 1
        while self.first_step(high) <= step:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.first_step(middle) <= step else (low, middle)
        return low

    def _sample_indices(self, bucket: int, first: int, count: int) -> list[SampleIndex]:
        """The samples at `count` positions of the stream of a bucket, from position `first` on."""
        indices: list[SampleIndex] = []
        while len(indices) < count:
            epoch, position = divmod(first + len(indices), self.totals[bucket])
            shards, ends = _shuffle_shards(self, epoch, bucket)
            window, start = divmod(position, self.window)
            shuffled = _shuffle_window(self, epoch, bucket, window)[start : start + count - len(indices)]
            nth = np.searchsorted(ends, shuffled, side="right")
            shard = shards[nth]
            sample = shuffled - ends[nth] + self._sizes[bucket][shard]
            indices += map(SampleIndex, shard.tolist(), sample.tolist())
        return indices


def slice_of_batch(indices: Sequence[Index], number: int, slices: int) -> Sequence[Index]:
    """Slice `number` of a batch that is cut into `slices` slices of equal length.

    Raises:
        ValueError: The batch cannot be divided equally.
    """
    if len(indices) % slices:
        raise ValueError(f"a batch of {len(indices)} samples cannot be divided equally into {slices} slices")
    length = len(indices) // slices
    return indices[number * length : (number + 1) * length]


def hash_words(count: int, *words: int) -> Hashes:
    """`count` well mixed 64-bit hashes of the words, the same on every machine.

    Source: splitmix64, Steele et al. 2014.
    """
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
def _schedule(order: SampleOrder, round_: int) -> tuple[Indices, Indices]:
    """For each step of a round: its bucket, and the number of its batch in the stream of that bucket."""
    sizes = zip(order.totals, order.batch_sizes, strict=True)
    numbers = [np.arange(round_ * n // size, (round_ + 1) * n // size) for n, size in sizes]
    buckets = np.repeat(np.arange(len(numbers)), [len(each) for each in numbers])
    shuffled = np.argsort(hash_words(len(buckets), order.seed, round_, 1), kind="stable")
    return buckets[shuffled], np.concatenate(numbers)[shuffled]


@lru_cache(maxsize=64)
def _shuffle_shards(order: SampleOrder, epoch: int, bucket: int) -> tuple[Indices, Indices]:
    """The shards of a bucket in the order of an epoch, and the end position of each."""
    counts = order._sizes[bucket]
    shuffled = np.argsort(hash_words(len(counts), order.seed, epoch, 2, bucket), kind="stable")
    return shuffled, np.cumsum(counts[shuffled])


@lru_cache(maxsize=16)
def _shuffle_window(order: SampleOrder, epoch: int, bucket: int, window: int) -> Indices:
    """The shuffled positions of a window."""
    start = window * order.window
    count = min(order.window, order.totals[bucket] - start)
    return start + np.argsort(hash_words(count, order.seed, epoch, 3, bucket, window), kind="stable")
