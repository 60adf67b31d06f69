"""The clips of a training: which shards, in which order, and how many per step."""

import math
import os
import sys
from functools import partial
from itertools import accumulate
from pathlib import Path

from training.data.batches import BatchLoader
from training.data.codes.paired_shards import open_latents
from training.data.context_batches import ContextBatches
from training.data.find_shards import find_shards, read_sample_ids
from training.data.latent_statistics import LatentStatistics, normalize, read_statistics
from training.data.mixture import MixedOrder, Order
from training.data.order import SampleIndex, SampleOrder
from training.data.shard import CodeSpec, LatentSpec
from training.data.shard_checks import check_continuous
from training.data.shards import LatentShards
from training.errors import LatentMismatchError
from training.networks.config import PATCH_SIZE
from training.parallel.mesh import Mesh
from training.recipes.config import TrainingConfig
from training.settings.data import ClipSettings
from training.settings.run import RunSettings

MAX_CAPTIONS = 16  # clips whose captions are checked before a training


def open_shards(
    config: TrainingConfig,
    *,
    mixed_fps: bool = False,
    spec: LatentSpec | None = None,
    code_spec: CodeSpec | None = None,
) -> LatentShards:
    """The shards that a training reads.

    Args:
        config: The settings of the training.
        mixed_fps: Accept clips of different frame rates, for a network that knows the frame rate.
        spec: How the latents must have been made; None takes that of the first shard.
        code_spec: Likewise of the codes.

    Raises:
        LatentMismatchError: The shards do not match each other or `spec`, or no clip is left.
    """
    shards = open_latents(
        config.data,
        find_codes(config.codes),
        code_spec,
        max_frames=config.max_latent_frames,
        min_area=config.min_latent_area,
        max_area=config.max_latent_area,
        mixed_fps=mixed_fps,
        spec=spec,
        views=config.view_names,
    )
    check_continuous(shards.spec, shards.buckets[0][0].tar)
    shards.normalize = partial(normalize, statistics=open_statistics(config, shards))
    return shards


def find_codes(place: str) -> list[tuple[str, str]]:
    """(tar, index) of each shard of codes of all splits; none if there is no place."""
    return find_shards(place) if place else []


def open_statistics(config: TrainingConfig, shards: LatentShards) -> LatentStatistics:
    """The statistics that the latents are normalized by; none leaves them as they are.

    Raises:
        LatentMismatchError: The file of the statistics is not one of these latents.
    """
    if not config.latent_statistics:
        return {}
    return read_statistics(config.latent_statistics, shards.spec.channels)


def check_captions(config: RunSettings, shards: LatentShards) -> None:
    """Check that a training that reads captions has some: the first clips of up to 16 shards are read.

    Without any, a pretrained text encoder is an error. The byte-level one, which is the default, is a
    warning.

    Raises:
        LatentMismatchError: A pretrained text encoder has no captions to encode.
    """
    if config.text_encoder in ("none", "precomputed") or config.text_dropout == 1:
        return
    first = [(n, SampleIndex(m, 0)) for n, counts in enumerate(shards.counts) for m in range(len(counts))]
    if any(shards.read(bucket, index).caption.strip() for bucket, index in first[:MAX_CAPTIONS]):
        return
    error = LatentMismatchError(
        f"the clips have no captions, and text_encoder is {config.text_encoder}",
        where=shards.buckets[0][0].tar,
        remedy="caption the clips before they are packed, or set text_encoder=none",
    )
    if config.text_encoder != "byte_level":
        raise error
    if not config.quiet and os.environ.get("RANK", "0") == "0":
        print(f"warning: {error}", file=sys.stderr)


def build_order(config: RunSettings, shards: LatentShards, patch: tuple[int, int, int] = PATCH_SIZE) -> Order:
    """The order of the clips, which does not depend on the number of ranks.

    Args:
        config: The settings.
        shards: The clips.
        patch: Latents of a token along t, h, w.

    Raises:
        LatentMismatchError: `image_share` asks for images or videos that are not there, or a data set of
            `data_weights` has no clips.
    """
    sizes = tuple(bucket_batch_size(config, shape, patch) for shape in shards.shapes)
    if not config.image_share and not config.data_weights:
        return SampleOrder(shards.counts, sizes, config.seed)
    datasets = _weighted_counts(config, shards)
    orders, groups, shares = [], [], []
    for share, buckets in _kinds(config, shards):
        present = [(w, counts) for w, counts in datasets if any(sum(counts[n]) for n in buckets)]
        for weight, counts in present:
            group = [n for n in buckets if sum(counts[n])]
            groups.append(group)
            orders.append(
                SampleOrder(tuple(counts[n] for n in group), tuple(sizes[n] for n in group), config.seed)
            )
            shares.append(share * weight / sum(w for w, _ in present))
    return MixedOrder(orders, groups, shares)


def _kinds(config: RunSettings, shards: LatentShards) -> list[tuple[float, list[int]]]:
    """The share of the steps, and the buckets, of images and of videos; or of both together."""
    if not config.image_share:
        return [(1.0, list(range(len(shards.shapes))))]
    images = [n for n, shape in enumerate(shards.shapes) if shape[1] == 1]
    videos = [n for n, shape in enumerate(shards.shapes) if shape[1] > 1]
    needed = {"images (latents of one frame)": images} | (
        {"videos": videos} if config.image_share < 1 else {}
    )
    for kind, buckets in needed.items():
        if not buckets:
            raise LatentMismatchError(
                f"image_share is {config.image_share:g}, but there are no {kind} among the latents",
                remedy="add shards of them, or leave image_share out",
            )
    kinds = [(config.image_share, images), (1 - config.image_share, videos)]
    return kinds if config.image_share < 1 else kinds[:1]


def _weighted_counts(
    config: RunSettings, shards: LatentShards
) -> list[tuple[float, tuple[tuple[int, ...], ...]]]:
    """The weight of each data set, and per bucket the samples of each shard, 0 of other data sets."""
    if not config.data_weights:
        return [(1.0, shards.counts)]
    ends = list(accumulate(config.data_sizes or (len(config.data),)))
    weighted: list[tuple[float, tuple[tuple[int, ...], ...]]] = []
    for weight, end, size in zip(config.data_weights, ends, config.data_sizes or ends, strict=True):
        tars = {tar for tar, _ in config.data[end - size : end]}
        counts = tuple(tuple(s.samples * (s.tar in tars) for s in bucket) for bucket in shards.buckets)
        if not any(map(sum, counts)):
            raise LatentMismatchError(
                f"data set {len(weighted) + 1} of data_weights has no clips of these sizes",
                where=min(tars, default=""),
                remedy="leave it out, or change min_latent_area and max_latent_area",
            )
        weighted.append((weight, counts))
    return weighted


def bucket_batch_size(
    config: ClipSettings, shape: tuple[int, int, int, int], patch: tuple[int, int, int] = PATCH_SIZE
) -> int:
    """Clips of one shape [c t h w] per step, over all ranks: a multiple of `batch_size`."""
    if not config.tokens_per_batch:
        return config.batch_size
    tokens = math.prod(-(-size // each) for size, each in zip(shape[1:], patch, strict=True))
    return max(1, config.tokens_per_batch // (tokens * config.batch_size)) * config.batch_size


def build_batches(
    config: RunSettings, mesh: Mesh, shards: LatentShards, patch: tuple[int, int, int] = PATCH_SIZE
) -> BatchLoader | ContextBatches:
    """The batches of this rank. One rank of each context group reads them."""
    loader = BatchLoader(
        shards,
        build_order(config, shards, patch),
        mesh.data_rank,
        mesh.num_data_ranks,
        config.grad_accum_steps,
        mesh.device,
        read_sample_ids(Path(config.skip_samples)) if config.skip_samples else frozenset[str](),
        config.num_workers,
        config.prefetch_factor,
    )
    return ContextBatches(loader, mesh.context_group) if mesh.dims.context_parallel > 1 else loader
