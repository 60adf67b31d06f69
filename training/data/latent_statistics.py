"""Mean and standard deviation of the latents of each domain, which a training can normalize them by.

The statistics are {"image": {"mean": [c], "std": [c]}, "video": …}. Images are latents of one frame. The
latents of a domain that is left out stay as they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.errors import LatentMismatchError

LatentStatistics: TypeAlias = Mapping[str, Mapping[str, list[float]]]
DOMAINS = ("image", "video")


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
            domain = _domain(shards.shapes[bucket][1])
            sums[domain] = sums[domain] + found if domain in sums else found
    statistics = {}
    for domain, (count, total, squares) in sorted(sums.items()):
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        if not bool((std > 0).all()):
            raise LatentMismatchError(f"channel {int(std.argmin())} of the {domain} latents is constant")
        statistics[domain] = {"mean": mean.tolist(), "std": std.tolist()}
    return statistics


def read_statistics(file: Path, channels: int) -> dict[str, dict[str, list[float]]]:
    """Read a file of statistics.

    Raises:
        LatentMismatchError: It cannot be read, or is not one for latents of so many channels.
    """
    try:
        values: Any = json.loads(file.read_text())
        for domain, each in values.items():
            mean, std = each["mean"], each["std"]
            if domain not in DOMAINS or not len(mean) == len(std) == channels or min(std) <= 0:
                raise ValueError(f"{domain} has {len(mean)} means and {len(std)} standard deviations")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LatentMismatchError(
            f"these are not statistics of latents of {channels} channels: {error}",
            where=str(file),
            remedy="write them with: python -m training latent-statistics --data SHARDS --out FILE",
        ) from error
    return {domain: {name: list(each[name]) for name in ("mean", "std")} for domain, each in values.items()}


def _domain(frames: int) -> str:
    return "image" if frames == 1 else "video"


def _mean_and_std(latents: Tensor, statistics: LatentStatistics) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation [c 1 1 1] of the domain of the latents; None if it is left out."""
    of_domain = statistics.get(_domain(latents.shape[-3]))
    if of_domain is None:
        return None
    mean, std = (torch.tensor(of_domain[name], device=latents.device) for name in ("mean", "std"))
    return mean[:, None, None, None], std[:, None, None, None]
