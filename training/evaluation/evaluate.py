"""Evaluation: the denoising loss on held-out clips by timestep, with the same noise in every evaluation."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from training.data.batches import LatentBatch, collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards, LatentSpec, Sample
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import PreconditionedDenoiser
from training.diffusion.loss_weight import VelocityWeight
from training.diffusion.path import add_noise, timestep_at
from training.model import load_model
from training.noise import hash_position, normal
from training.recipes.pretrained_text import reopen_text_encoder
from training.text_encoder import add_text

TIMESTEPS = tuple((n + 0.5) / 10 for n in range(10))  # the centers of ten bins of 0..1


@dataclass(frozen=True)
class EvaluationResult:
    """Mean squared errors of the velocity (noise - clean).

    A timestep is the share of noise, sigma / (alpha + sigma), on any path. So models of different paths can
    be compared.

    Attributes:
        clips: Number of evaluated clips.
        loss: Mean over all timesteps and clips.
        linear_loss: Mean over all timesteps of the loss of the best linear prediction: for each timestep and
            channel, the linear function of the noisy latents that fits these clips best. A model that has
            learned more than the mean and the variance of each channel is below it.
        loss_by_timestep: Mean over all clips, for each of `TIMESTEPS`.
        linear_loss_by_timestep: Loss of the best linear prediction, for each of `TIMESTEPS`.
    """

    clips: int
    loss: float
    linear_loss: float
    loss_by_timestep: dict[float, float]
    linear_loss_by_timestep: dict[float, float]

    def summary(self) -> str:
        """The loss, and how it compares with the best linear prediction, in one line."""
        below = 1 - self.loss / self.linear_loss
        side = "below" if below >= 0 else "above"
        linear = f"the best linear prediction ({self.linear_loss:.4f})"
        return f"loss {self.loss:.4f}, {abs(below):.1%} {side} {linear}"


def evaluate(
    model: Path,
    data: Sequence[tuple[str, str]],
    *,
    max_clips: int = 256,
    batch_size: int = 8,
    text_encoder: str = "",
    num_threads: int = 2,
    device: torch.device | str = "cpu",
) -> EvaluationResult:
    """Evaluate a model on the first `max_clips` clips, in the order of their shards.

    Args:
        model: Folder or file of the model.
        data: (tar, index) of each shard.
        batch_size: Clips of one shape that are evaluated together.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        num_threads: CPU threads.

    Raises:
        CheckpointError: There is no model, or the text encoder is not the one that it was trained with.
        LatentMismatchError: The latents were made with another tokenizer than those of the model.
    """
    world, info = load_model(model)
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    shards = LatentShards(data, spec=spec, mixed_fps=info.network.base_fps is not None)
    world, denoiser = world.to(device), world.denoiser
    encoder = reopen_text_encoder(text_encoder, world, info, shards)
    sums, clips = dict.fromkeys(TIMESTEPS, 0.0), 0
    linear = {t: _LinearFit() for t in TIMESTEPS}
    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with torch.inference_mode():
            for batch in _batches(shards, max_clips, batch_size):
                batch = batch.to(torch.device(device))
                conditioning = add_text(batch.conditioning, encoder, batch.captions, device)
                clips += len(batch.ids)
                for t in TIMESTEPS:
                    sums[t] += _add_losses(denoiser, batch, conditioning, t, linear[t])
    finally:
        torch.set_num_threads(threads)
    loss_by_timestep = {t: total / clips for t, total in sums.items()}
    linear_by_timestep = {t: fit.mse() for t, fit in linear.items()}
    return EvaluationResult(
        clips,
        sum(loss_by_timestep.values()) / len(TIMESTEPS),
        sum(linear_by_timestep.values()) / len(TIMESTEPS),
        loss_by_timestep,
        linear_by_timestep,
    )


def _add_losses(
    denoiser: PreconditionedDenoiser,
    batch: LatentBatch,
    conditioning: Conditioning,
    timestep: float,
    linear: "_LinearFit",
) -> float:
    """The sum of the velocity losses of a batch; the clips are added to the linear fit."""
    clean, path = batch.latents, denoiser.path
    noise = normal(0, f"evaluate {timestep}", batch.positions, clean.shape[1:], device=clean.device)
    t = torch.full((len(clean),), timestep_at(path, timestep / (1 - timestep)), device=clean.device)
    noisy = add_noise(path, clean, noise, t)
    linear.add(noisy, noise - clean)
    error = (denoiser(noisy, t, conditioning) - clean).square().flatten(1).mean(1)
    return float((VelocityWeight(path)(t) * error).sum())


class _LinearFit:
    """The least squares fit of y = a x + b for each channel, from sums over batches."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None
        self.count = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """x, y [b c t h w]."""
        x, y = (each.double().transpose(0, 1).flatten(1) for each in (x, y))
        sums = torch.stack([each.sum(1) for each in (x, y, x * x, x * y, y * y)])
        self.sums = sums if self.sums is None else self.sums + sums
        self.count += x.shape[1]

    def mse(self) -> float:
        """The mean squared error of the fit, over all channels."""
        if self.sums is None:
            return float("nan")
        x, y, xx, xy, yy = self.sums / self.count
        variance, covariance = xx - x * x, xy - x * y
        return float((yy - y * y - covariance**2 / variance.clamp(min=1e-12)).mean())


def _batches(shards: LatentShards, max_clips: int, batch_size: int) -> Iterator[LatentBatch]:
    """Clips of one shape together, with noise that depends on the id of each clip."""
    indices = (
        (bucket, SampleIndex(shard, number))
        for bucket, counts in enumerate(shards.counts)
        for shard, count in enumerate(counts)
        for number in range(count)
    )
    waiting: dict[int, list[Sample]] = defaultdict(list)
    for bucket, index in islice(indices, max_clips):
        waiting[bucket].append(shards.read(bucket, index))
        if len(waiting[bucket]) == batch_size:
            yield _collate(waiting.pop(bucket))
    for samples in waiting.values():
        yield _collate(samples)


def _collate(samples: Sequence[Sample]) -> LatentBatch:
    return collate(samples, [hash_position(sample.id) for sample in samples])
