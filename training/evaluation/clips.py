"""Which clips an evaluation reads, in which batches, and from which data set each of them is."""

from collections.abc import Iterator
from itertools import accumulate, takewhile
from typing import NamedTuple

from training.data.batches import LatentBatch, collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.diffusion.conditioning import Conditioning
from training.noise import hash_position


class EvaluationBatch(NamedTuple):
    """Clips of one shape.

    Attributes:
        bucket: Number of the bucket.
        clips: The clips; their noise depends on their ids only.
        others: Another clip of the same shape for each clip, whose actions and camera are a control; None if
            the shards are read without conditions, or there is one clip alone of this shape.
        datasets: Number of the data set of each clip that counts. A rank without a clip has a batch of one
            that does not count, because all ranks must run the network equally often.
    """

    bucket: int
    clips: LatentBatch
    datasets: tuple[int, ...]
    others: Conditioning | None = None


class EvaluationClips:
    """At most `max_clips` clips, evenly spaced over all shards.

    Args:
        shards: All clips.
        max_clips: Maximum number of clips.

    Attributes:
        datasets: Names of the data sets: folders of shards, below the folder that all of them share.
    """

    def __init__(self, shards: LatentShards, max_clips: int) -> None:
        self.shards = shards
        folders = {shard.tar: _dataset_folder(shard.tar) for bucket in shards.buckets for shard in bucket}
        depth = _shared_folders(list(folders.values()))
        names = {
            folder: "/".join(folder.split("/")[depth:]) or folder.split("/")[-1]
            for folder in folders.values()
        }
        self.datasets = sorted(set(names.values()))
        self._dataset_of = {tar: self.datasets.index(names[folder]) for tar, folder in folders.items()}
        total = sum(map(sum, shards.counts))
        self._count = min(max_clips, total)
        self._chosen = [n * total // self._count for n in range(self._count)]

    def __len__(self) -> int:
        return self._count

    def batches(self, batch_size: int, rank: int = 0, num_ranks: int = 1) -> Iterator[EvaluationBatch]:
        """The batches of one of the ranks that evaluate different clips; equally many for each of them."""
        by_bucket: dict[int, list[SampleIndex]] = {}
        for bucket, index in self._places():
            by_bucket.setdefault(bucket, []).append(index)
        for bucket, indices in by_bucket.items():
            size = batch_size * num_ranks
            for start in range(0, len(indices), size):
                whole = indices[start : start + size]
                mine = whole[rank::num_ranks]
                read = [self.shards.read(bucket, index) for index in mine or whole[:1]]
                batch = collate(read, [hash_position(sample.id) for sample in read])
                tars = [self.shards.buckets[bucket][index.shard].tar for index in mine]
                datasets = tuple(self._dataset_of[tar] for tar in tars)
                others = None
                if self.shards.condition_reader is not None and len(indices) > 1:
                    shift = len(indices) // 2  # not the next clip, which may be of the same video
                    places = range(start + rank, start + len(whole), num_ranks) if mine else [start]
                    partners = [indices[(place + shift) % len(indices)] for place in places]
                    read = [self.shards.read(bucket, index) for index in partners]
                    others = collate(read, batch.positions).conditioning
                yield EvaluationBatch(bucket, batch, datasets, others)

    def _places(self) -> Iterator[tuple[int, SampleIndex]]:
        """The chosen clips, in the order of their shards."""
        shards = [
            (bucket, shard, count)
            for bucket, counts in enumerate(self.shards.counts)
            for shard, count in enumerate(counts)
        ]
        ends = list(accumulate(count for _, _, count in shards))
        place = 0
        for number in self._chosen:
            while number >= ends[place]:
                place += 1
            bucket, shard, count = shards[place]
            yield bucket, SampleIndex(shard, number - ends[place] + count)


def _dataset_folder(tar: str) -> str:
    """The folder of a data set: that of its shards, without the folders that PackLatents makes."""
    parts = tar.split("/")[:-1]
    for number, part in enumerate(parts):
        if part == "latents" or part.startswith("latents-"):
            return "/".join(parts[:number]) or "."
    return "/".join(parts) or "."


def _shared_folders(folders: list[str]) -> int:
    """The number of folders that all paths have in common, from the start."""
    levels = zip(*(folder.split("/") for folder in folders), strict=False)
    return len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
