"""The crops of each step of the training of a tokenizer, of videos and of images."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data.order import slice_of_batch
from training.data.prefetch import Prefetcher
from training.errors import LatentMismatchError, LayoutError
from training.recipes.tokenizer.config import TokenizerConfig
from training.tokenizers.crops import CropBatch, RandomCrops


@dataclass
class CropBatches:
    """The crops of one rank.

    Attributes:
        videos: Crops of several frames.
        images: Crops of one frame.
        image_share: Share of the steps that read images, spread evenly.
        batch_size: Crops per step, over all ranks.
        rank: Number of this rank.
        num_ranks: Number of ranks.
        grad_accum_steps: Microbatches per step and rank.
        device: Device of the crops.
        num_workers: Threads that read ahead.
        waited_s: Seconds spent waiting for data since the object was created.
    """

    videos: RandomCrops
    images: RandomCrops
    image_share: float
    batch_size: int
    rank: int = 0
    num_ranks: int = 1
    grad_accum_steps: int = 1
    device: torch.device = torch.device("cpu")
    num_workers: int = 1
    waited_s: float = 0.0

    def __post_init__(self) -> None:
        slices = self.grad_accum_steps * self.num_ranks
        if self.batch_size % slices:
            raise LayoutError(
                f"batch_size {self.batch_size} cannot be divided by {self.num_ranks} ranks"
                f" x {self.grad_accum_steps} grad_accum_steps",
                remedy=f"set batch_size to a multiple of {slices}",
            )
        self._prefetcher = Prefetcher(self.read, self.num_workers)

    def microbatches(self, step: int) -> list[CropBatch]:
        """The microbatches of this rank at a step. Starts to prefetch those of the next steps."""
        started = time.perf_counter()
        batches = self._prefetcher.get(step)
        self.waited_s += time.perf_counter() - started
        return [batch._replace(videos=batch.videos.to(self.device)) for batch in batches]

    def read(self, step: int) -> list[CropBatch]:
        """Like `microbatches`, in this thread and without prefetching."""
        slices = self.grad_accum_steps * self.num_ranks
        source = self._source(step)
        return [
            source.crops(step, slice_of_batch(range(self.batch_size), number, slices))
            for number in range(self.rank, slices, self.num_ranks)
        ]

    def sample_ids(self, step: int) -> list[str]:
        """The names of the files of a step, over all ranks."""
        source = self._source(step)
        return sorted({source.name(step, number) for number in range(self.batch_size)})

    def close(self) -> None:
        """Stop reading ahead."""
        self._prefetcher.close()

    def _source(self, step: int) -> RandomCrops:
        is_image = int((step + 1) * self.image_share) > int(step * self.image_share)
        return self.images if is_image else self.videos


def open_crops(config: TokenizerConfig, folder: Path, frames: int) -> RandomCrops:
    """Crops of the arrays in a folder.

    Raises:
        LatentMismatchError: No array is long and large enough.
    """
    try:
        return RandomCrops(folder, size=config.size_px, frames=frames, seed=config.seed)
    except FileNotFoundError as error:
        raise LatentMismatchError(
            str(error), where=str(folder), remedy="set frames or size_px lower, or add longer videos"
        ) from error
