"""Divides the clips of a bucket, in random order, into bins, and starts shards at bins of even bytes."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from manifests.identity import shuffle_key

COLUMN = "column "  # begins the name of a total that counts values of a column of the metadata
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


def size_total(bucket: str, key: str) -> str:
    """The name of the total that counts the bytes of a sample."""
    return f"{bucket}/{shard_bin(key):04d}"


def fit_shards(totals: Mapping[str, int], shard_bytes: int) -> bytes:
    """The columns of the metadata; and for each bucket the first bin of each shard, as JSON.

    For a very large bucket, the number of shards stands for the first bins.
    """
    columns = sorted(name.removeprefix(COLUMN) for name in totals if name.startswith(COLUMN))
    bins: dict[str, list[int]] = {}
    for name, size in totals.items():
        if not name.startswith(COLUMN):
            bucket, _, number = name.rpartition("/")
            bins.setdefault(bucket, [0] * BINS)[int(number)] = size
    shards = {bucket: first_bins(sizes, shard_bytes) for bucket, sizes in bins.items()}
    return json.dumps({"columns": columns, "shards": shards}, sort_keys=True).encode()


def shard_number(shards: list[int] | int, key: str) -> int:
    """The number of the shard of a sample; `shards` is what `fit_shards` returned for its bucket."""
    if isinstance(shards, int):
        return shuffle_key(key, "shard") * shards >> 64
    return bisect_right(shards, shard_bin(key)) - 1
