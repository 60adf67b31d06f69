"""Divides the clips of a bucket, in random order, into bins, and starts shards at bins of even bytes."""

import math
from collections.abc import Sequence

from manifests.identity import shuffle_key

BINS = 4096  # bins of the order in which the clips of a bucket are assigned to shards


def shard_bin(clip_id: str) -> int:
    """The bin of a clip."""
    return shuffle_key(clip_id, "shard") * BINS >> 64


def first_bins(sizes: Sequence[int], shard_bytes: int) -> list[int] | int:
    """The first bin of each shard, so that all shards hold about the same number of bytes.

    If there were fewer than 16 bins per shard, a random assignment would be more even: then the number of
    shards.
    """
    total = sum(sizes)
    shards = max(1, math.ceil(total / shard_bytes))
    if shards > BINS // 16:
        return shards
    starts, before = [0], 0
    for place, size in enumerate(sizes):
        if place and before * shards >= total * len(starts) and len(starts) < shards:
            starts.append(place)
        before += size
    return starts
