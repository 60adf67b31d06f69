"""Mean and standard deviation of the latents of each domain, which a training can normalize them by.

The statistics are {"image": {"mean": [c], "std": [c]}, "video": …}. Images are latents of one frame. The
latents of a domain that is left out stay as they are.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.errors import LatentMismatchError

LatentStatistics: TypeAlias = Mapping[str, Mapping[str, list[float]]]
DOMAINS = ("image", "video")
AUTO = "auto"  # in place of statistics: they are computed
COMPUTE_TIMEOUT = timedelta(days=1)  # for which the other ranks wait


def normalize(latents: Tensor, statistics: LatentStatistics) -> Tensor:
    """(latents - mean) / std of each channel, for latents [… c t h w] of one shape."""
    found = _mean_and_std(latents, statistics)
    return latents if found is None else (latents.float() - found[0]) / found[1]


def denormalize(latents: Tensor, statistics: LatentStatistics) -> Tensor:
    """The inverse of `normalize`."""
    found = _mean_and_std(latents, statistics)
    return latents if found is None else latents * found[1] + found[0]


def compute_statistics(shards: LatentShards, max_clips: int = 1000) -> dict[str, dict[str, list[float]]]:
    """The statistics of each domain, over at most `max_clips` clips of each bucket, evenly spaced.

    Raises:
        LatentMismatchError: A channel has the same value everywhere.
    """
    sums: dict[str, Tensor] = {}
    for bucket, counts in enumerate(shards.counts):
        indices = [SampleIndex(shard, n) for shard, count in enumerate(counts) for n in range(count)]
        stride = -(-len(indices) // max_clips)
        for index in indices[::stride]:
            values = shards.read(bucket, index).latents.double().flatten(1)  # [c n]
            count = torch.full((len(values),), float(values.shape[1]), dtype=torch.float64)
            found = torch.stack([count, values.sum(1), values.square().sum(1)])
            domain = _domain(shards.shapes[bucket][1] // max(1, len(shards.views)))
            sums[domain] = sums[domain] + found if domain in sums else found
    statistics = {}
    for domain, (count, total, squares) in sorted(sums.items()):
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        if not bool((std > 0).all()):
            raise LatentMismatchError(f"channel {int(std.argmin())} of the {domain} latents is constant")
        statistics[domain] = {"mean": mean.tolist(), "std": std.tolist()}
    return statistics


def compute_statistics_once(pairs: Iterable[tuple[str, str]], file: Path, views: Sequence[str] = ()) -> str:
    """The statistics of shards as JSON text, in a file that the first call writes. All ranks must call it.

    Args:
        pairs: (tar, index) of each shard.
        file: In a folder that all ranks share. If it exists, it is read, so a resumed training goes on with
            the same values even if it has more clips.
        views: Cameras of recordings.

    Raises:
        LatentMismatchError: A channel has the same value everywhere.
    """
    shards = partial(LatentShards, pairs, mixed_fps=True, views=views)
    return compute_text_once(file, lambda: json.dumps(compute_statistics(shards()), indent=1) + "\n")


def compute_text_once(file: Path, compute: Callable[[], str]) -> str:
    """The text of a file, which the first call computes and writes on the first rank. All ranks must call it.

    Args:
        file: In a folder that all ranks share. If it exists, it is read.
        compute: Computes the text.
    """
    text: list[str] = [""]
    group = dist.new_group(backend="gloo", timeout=COMPUTE_TIMEOUT)
    if dist.get_rank() == 0:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(file.name + ".new")
            temporary.write_text(compute())
            temporary.rename(file)
        text = [file.read_text()]
    dist.broadcast_object_list(text, src=0, group=group)
    dist.destroy_process_group(group)
    return text[0]


def read_statistics(source: str, channels: int) -> dict[str, dict[str, list[float]]]:
    """Read statistics from a file, or from JSON text.

    Raises:
        LatentMismatchError: It cannot be read, or is not one for latents of so many channels.
    """
    try:
        values: Any = json.loads(source if is_json_text(source) else Path(source).read_text())
        for domain, each in values.items():
            mean, std = each["mean"], each["std"]
            if domain not in DOMAINS or not len(mean) == len(std) == channels or min(std) <= 0:
                raise ValueError(f"{domain} has {len(mean)} means and {len(std)} standard deviations")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LatentMismatchError(
            f"these are not statistics of latents of {channels} channels: {error}",
            where=source,
            remedy="write them with: python -m training latent-statistics --data SHARDS --out FILE",
        ) from error
    return {domain: {name: list(each[name]) for name in ("mean", "std")} for domain, each in values.items()}


def is_json_text(source: str) -> bool:
    """Whether statistics are given as text, and not as the name of a file."""
    return source.lstrip().startswith("{")


def _domain(frames: int) -> str:
    return "image" if frames == 1 else "video"


def _mean_and_std(latents: Tensor, statistics: LatentStatistics) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation [c 1 1 1] of the domain of the latents; None if it is left out."""
    of_domain = statistics.get(_domain(latents.shape[-3]))
    if of_domain is None:
        return None
    mean, std = (torch.tensor(of_domain[name], device=latents.device) for name in ("mean", "std"))
    return mean[:, None, None, None], std[:, None, None, None]
