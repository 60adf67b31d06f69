"""Evaluation: the denoising loss on held-out clips by timestep, with the same noise in every evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data.order import SampleIndex
from training.data.shards import LatentShards, LatentSpec, Sample
from training.denoiser import VelocityDenoiser
from training.model import load_model
from training.networks.text_tokens import tokenize_captions
from training.noise import normal
from training.path import RectifiedFlow, add_noise, expand_dims

TIMESTEPS = tuple((n + 0.5) / 10 for n in range(10))  # the centers of ten bins of 0..1


@dataclass(frozen=True)
class EvaluationResult:
    """Mean squared errors of the velocity.

    Attributes:
        clips: Number of evaluated clips.
        loss: Mean over all timesteps and clips.
        loss_by_timestep: Mean over all clips, for each of `TIMESTEPS`.
    """

    clips: int
    loss: float
    loss_by_timestep: dict[float, float]


def evaluate(
    model: Path, data: Sequence[tuple[str, str]], *, max_clips: int = 256, device: torch.device | str = "cpu"
) -> EvaluationResult:
    """Evaluate a model on the first `max_clips` clips, in the order of their shards.

    Args:
        model: Folder or file of the model.
        data: (tar, index) of each shard.

    Raises:
        CheckpointError: There is no model.
        LatentMismatchError: The latents were made with another tokenizer than those of the model.
    """
    network, info = load_model(model)
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    shards = LatentShards(data, spec=spec)
    denoiser: VelocityDenoiser[torch.Tensor] = VelocityDenoiser(network.to(device))
    sums = dict.fromkeys(TIMESTEPS, 0.0)
    clips = 0
    with torch.inference_mode():
        for clip in _first_clips(shards, max_clips):
            clips += 1
            for t in TIMESTEPS:
                sums[t] += _velocity_mse(denoiser, clip, t, device)
    loss_by_timestep = {t: total / clips for t, total in sums.items()}
    return EvaluationResult(clips, sum(loss_by_timestep.values()) / len(loss_by_timestep), loss_by_timestep)


def _velocity_mse(
    denoiser: VelocityDenoiser[torch.Tensor], clip: Sample, timestep: float, device: torch.device | str
) -> float:
    clean = clip.latents[None].float().to(device)
    noise = normal(0, clip.id, 0, clip.latents.shape, f"evaluate {timestep}")[None].to(device)
    t = torch.full((1,), timestep, device=device)
    noisy = add_noise(RectifiedFlow(), clean, noise, t)
    prediction = denoiser(noisy, t, tokenize_captions([clip.caption], device))
    return float(((prediction - clean) / expand_dims(t)).square().mean())


def _first_clips(shards: LatentShards, max_clips: int) -> Iterator[Sample]:
    indices = (
        (bucket, SampleIndex(shard, number))
        for bucket, counts in enumerate(shards.counts)
        for shard, count in enumerate(counts)
        for number in range(count)
    )
    for _, (bucket, index) in zip(range(max_clips), indices, strict=False):
        yield shards.read(bucket, index)
