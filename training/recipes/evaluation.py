"""How well a model denoises held-out clips, by level of noise: with the same noise each time it is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data.order import Place
from training.data.shards import LatentShards, Made, Sample
from training.denoiser import VelocityDenoiser
from training.model import load_model
from training.networks.text_tokens import read_words
from training.noise import normal
from training.path import RectifiedFlow, mix, wide

LEVELS = tuple((n + 0.5) / 10 for n in range(10))  # the middles of ten bins


@dataclass(frozen=True)
class Evaluated:
    """Mean squared errors of the velocity, per level and in the mean, over `clips` clips."""

    clips: int
    loss: float
    by_level: dict[float, float]


def evaluate(
    model: Path, data: Sequence[tuple[str, str]], *, most: int = 256, device: torch.device | str = "cpu"
) -> Evaluated:
    """Evaluate on the first `most` clips, in the order of their shards.

    Raises:
        BadCheckpoint: there is no model.
        LatentsDoNotFit: the latents were made with another tokenizer than the model's.
    """
    network, told = load_model(model)
    said = dict(told.latents)
    shards = LatentShards(data, made=Made(**said | {"stride": tuple(said["stride"])}))
    denoiser: VelocityDenoiser[torch.Tensor] = VelocityDenoiser(network.to(device))
    sums = dict.fromkeys(LEVELS, 0.0)
    clips = 0
    with torch.inference_mode():
        for clip in _first(shards, most):
            clips += 1
            for level in LEVELS:
                sums[level] += _error(denoiser, clip, level, device)
    by_level = {level: total / clips for level, total in sums.items()}
    return Evaluated(clips, sum(by_level.values()) / len(by_level), by_level)


def _error(
    denoiser: VelocityDenoiser[torch.Tensor], clip: Sample, level: float, device: torch.device | str
) -> float:
    clean = clip.latents[None].float().to(device)
    noise = normal(0, clip.id, 0, clip.latents.shape, f"evaluate {level}")[None].to(device)
    t = torch.full((1,), level, device=device)
    guess = denoiser(mix(RectifiedFlow(), clean, noise, t), t, read_words([clip.caption], device))
    return float(((guess - clean) / wide(t)).square().mean())


def _first(shards: LatentShards, most: int) -> Iterator[Sample]:
    places = (
        (bucket, Place(shard, number))
        for bucket, counts in enumerate(shards.counts)
        for shard, count in enumerate(counts)
        for number in range(count)
    )
    for _, (bucket, place) in zip(range(most), places, strict=False):
        yield shards.read(bucket, place)
