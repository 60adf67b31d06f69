"""Loads the batch of each step, and prefetches those of the next steps in threads."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from training.data.mixture import Order
from training.data.order import SampleIndex, slice_of_batch
from training.data.prefetch import Prefetcher
from training.data.samples.decode import Sample
from training.data.shards import LatentShards
from training.diffusion.conditioning import Conditioning
from training.errors import LatentMismatchError
from training.noise import stream_position
from training.tensors import Latents
from training.text_encoders.precomputed import pad_embeddings

MAX_REPLACEMENTS = 1000  # samples that are tried in the place of one to be skipped


class LatentBatch(NamedTuple):
    """Clips of one shape.

    Attributes:
        ids: Ids of the clips.
        positions: Position of each clip in the stream of samples; all random numbers of a clip depend on it.
        latents: [b c t h w], float32; codes are int64.
        captions: Captions of the clips; of several views those of each view, clip after clip.
        conditioning: What the shards say about the clips: fps, padding, and text embeddings, actions
            and cameras if they are read.
    """

    ids: tuple[str, ...]
    positions: tuple[int, ...]
    latents: Latents
    captions: tuple[str, ...]
    conditioning: Conditioning

    def to(self, device: torch.device) -> "LatentBatch":
        """The batch with its tensors on a device."""
        conditioning = self.conditioning.map(lambda tensor: tensor.to(device))
        return self._replace(latents=self.latents.to(device), conditioning=conditioning)


def collate(samples: Sequence[Sample], positions: Sequence[int]) -> LatentBatch:
    """A batch of samples of one shape."""
    views = samples[0].num_views
    text, text_mask = None, None
    if all(s.text_embeddings for s in samples):
        text, text_mask = pad_embeddings([text for s in samples for text in s.text_embeddings])
        if views > 1:
            text, text_mask = (
                each.reshape(len(samples), views, *each.shape[1:]) for each in (text, text_mask)
            )
    return LatentBatch(
        ids=tuple(s.id for s in samples),
        positions=tuple(positions),
        latents=torch.stack([_widened(s.latents) for s in samples]),
        captions=tuple(caption for s in samples for caption in s.view_captions or (s.caption,)),
        conditioning=Conditioning(
            text_embeddings=text,
            text_mask=text_mask,
            fps=torch.tensor([s.fps for s in samples]),
            padding_mask=_stack_masks(samples),
            view_indices=torch.arange(views).repeat(len(samples), 1) if views > 1 else None,
            codes=_stack_codes(samples),
            **{name: torch.stack([s.conditions[name] for s in samples]) for name in samples[0].conditions},
        ),
    )


def _widened(latents: torch.Tensor) -> torch.Tensor:
    """Latents as float32, and codes as int64: every other type of float would round some ids."""
    return latents.float() if latents.is_floating_point() else latents.long()


def _stack_codes(samples: Sequence[Sample]) -> torch.Tensor | None:
    """The codes of all samples, [b t h w]; None if they are not read."""
    codes = [sample.codes for sample in samples if sample.codes is not None]
    return torch.stack(codes) if len(codes) == len(samples) else None


def _stack_masks(samples: Sequence[Sample]) -> torch.Tensor | None:
    """The padding masks [b 1 h w], zeros for samples that have none; None if no sample has one."""
    if all(s.padding_mask is None for s in samples):
        return None
    size = (1, *samples[0].latents.shape[2:])
    return torch.stack([torch.zeros(size) if s.padding_mask is None else s.padding_mask for s in samples])


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
        skip_samples: Ids of clips that are not read. Another clip of the bucket takes the place of each.
        num_workers: Threads that read ahead.
        prefetch_factor: Steps that each of these threads reads ahead.
        waited_s: Seconds spent waiting for data since the object was created.
    """

    shards: LatentShards
    order: Order
    data_rank: int = 0
    num_data_ranks: int = 1
    grad_accum_steps: int = 1
    device: torch.device = torch.device("cpu")
    skip_samples: frozenset[str] = frozenset()
    num_workers: int = 1
    prefetch_factor: int = 1
    waited_s: float = 0.0

    def __post_init__(self) -> None:
        self._prefetcher = Prefetcher(self.read, self.num_workers, self.prefetch_factor)

    def microbatches(self, step: int) -> list[LatentBatch]:
        """The microbatches of this rank at a step. Starts to prefetch those of the next steps."""
        started = time.perf_counter()
        batches = self._prefetcher.get(step)
        self.waited_s += time.perf_counter() - started
        return [batch.to(self.device) for batch in batches]

    def read(self, step: int) -> list[LatentBatch]:
        """Like `microbatches`, in this thread and without prefetching.

        The batch is cut into grad_accum_steps * num_data_ranks slices. Microbatch m of data rank r of R is
        slice m * R + r. So the sum over microbatches and ranks covers the same samples at any layout.
        """
        bucket, indices = self.order.batch(step)
        slices = self.grad_accum_steps * self.num_data_ranks
        batches: list[LatentBatch] = []
        for number in range(self.data_rank, slices, self.num_data_ranks):
            part = slice_of_batch(range(len(indices)), number, slices)
            samples = [self._read_sample(step, bucket, indices[place], place) for place in part]
            batches.append(collate(samples, [stream_position(step, place) for place in part]))
        return batches

    def sample_ids(self, step: int) -> list[str]:
        """The ids of all samples of a step, over all ranks."""
        bucket, indices = self.order.batch(step)
        return [self._read_sample(step, bucket, index, place).id for place, index in enumerate(indices)]

    def _read_sample(self, step: int, bucket: int, index: SampleIndex, place: int) -> Sample:
        """The sample of a place in a batch, or the one that replaces it if its id is to be skipped.

        Raises:
            LatentMismatchError: Almost all clips of the bucket are to be skipped.
        """
        for attempt in range(MAX_REPLACEMENTS):
            if not self.skip_samples or self.shards.sample_id(bucket, index) not in self.skip_samples:
                return self.shards.read(bucket, index)
            index = self.order.replacement(step, place, attempt)
        raise LatentMismatchError(
            f"no clip of shape {self.shards.shapes[bucket]} was found that is not in skip_samples",
            remedy="leave clips out of skip_samples, or train on other shards",
        )

    def close(self) -> None:
        """Stop prefetching."""
        self._prefetcher.close()
