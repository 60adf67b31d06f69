"""The target of a distillation leads in one step to where the teacher's trajectory leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import FrozenDenoiser
from training.diffusion.loss_weight import NetworkOutputWeight, VelocityWeight
from training.diffusion.path import EDM, Cosine, Path, RectifiedFlow, expand_dims
from training.diffusion.preconditioning import EDMPreconditioning
from training.diffusion.timestep_sampler import Choice
from training.noise import normal
from training.objectives.denoising import Denoising
from training.objectives.trajectory_distillation import TrajectoryDistillation
from training.sampler import default_grid
from training.samplers.euler import sample_euler

MEAN, TEXT_MEAN, STD, STEPS = 0.6, -0.4, 0.4, 4
WITH_TEXT = Conditioning(text_embeddings=torch.ones(64, 1, 1), text_mask=torch.ones(64, 1, dtype=torch.int64))


class LatentBatch(NamedTuple):
    positions: Sequence[int]
    latents: Tensor
    captions: Sequence[str]
    conditioning: Conditioning


@dataclass(frozen=True)
class Gaussian:
    """The exact denoiser of a normal distribution, whose mean depends on whether there is text."""

    path: Path

    def __call__(self, noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        alpha, sigma = expand_dims(self.path.alpha(t)), expand_dims(self.path.sigma(t))
        residual = noisy - alpha * self.mean(conditioning)
        return self.mean(conditioning) + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * residual

    def mean(self, conditioning: Conditioning) -> float:
        mask = conditioning.text_mask
        return MEAN if mask is None or not mask.any() else TEXT_MEAN


def follow_exactly(path: Path, x: Tensor, t: Tensor, t_end: Tensor, mean: float) -> Tensor:
    """The place at `t_end` of the trajectory through x: that of the same quantile."""

    def moments(at: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = expand_dims(path.alpha(at)), expand_dims(path.sigma(at))
        return alpha * mean, (alpha**2 * STD**2 + sigma**2).sqrt()

    (mean_now, std_now), (mean_end, std_end) = moments(t), moments(t_end)
    return mean_end + (x - mean_now) / std_now * std_end


def build(path: Path, student: object, teacher_steps: int, **settings: float) -> TrajectoryDistillation:
    timesteps = default_grid(path, STEPS * teacher_steps)
    weight = NetworkOutputWeight(EDMPreconditioning(path)) if isinstance(path, EDM) else VelocityWeight(path)
    return TrajectoryDistillation(
        denoiser=student,  # type: ignore[arg-type]
        path=path,
        loss_weight=weight,
        timestep_sampler=Choice(tuple(timesteps[:-1:teacher_steps].tolist())),
        text_dropout=0.0,
        teacher=FrozenDenoiser(Gaussian(path)),
        teacher_timesteps=timesteps,
        teacher_steps=teacher_steps,
        **settings,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("path", [RectifiedFlow(), EDM(), Cosine()], ids=str)
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_student_that_reaches_the_ends_of_the_trajectories_has_no_loss(path: Path, scale: float) -> None:
    mean = MEAN + scale * (TEXT_MEAN - MEAN)  # guidance moves the mean of a normal distribution
    grid = default_grid(path, STEPS * 32)[::32]

    def student(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        number = (grid[:-1] - t[:, None]).abs().argmin(1)
        now, end = grid[number].float(), grid[number + 1].float()
        x_end = follow_exactly(path, noisy, now, end, mean)
        kept = expand_dims(path.sigma(end) / path.sigma(now))
        return (x_end - kept * noisy) / (expand_dims(path.alpha(end)) - kept * expand_dims(path.alpha(now)))

    clean = mean + STD * normal(0, "clean", range(64), (1, 2, 2, 2))
    batch = LatentBatch(range(64), clean, [""] * 64, WITH_TEXT)
    loss = float(build(path, student, 32, guidance_scale=scale)(batch, 0).total)
    of_teacher = float(build(path, Gaussian(path), 32, guidance_scale=scale)(batch, 0).total)
    assert loss < 1e-3 < 0.02 < of_teacher

    noise = normal(1, "noise", range(64), (1, 2, 2, 2))
    sampled = sample_euler(student, path, noise, WITH_TEXT, grid)
    assert float((sampled - (mean + STD * noise)).abs().max()) < 0.02  # t_max of EDM is not pure noise


def test_only_the_target_differs_from_denoising() -> None:
    path = RectifiedFlow()
    objective = build(path, Gaussian(path), 1)
    batch = LatentBatch(range(64), torch.ones(64, 1, 2, 2, 2), [""] * 64, Conditioning())
    denoising = Denoising(Gaussian(path), path, VelocityWeight(path), objective.timestep_sampler)
    loss, expected = objective(batch, 0), denoising(batch, 0)
    assert loss.groups.keys() == expected.groups.keys()
    assert float(loss.groups["loss_by_timestep/0.9"][1]) == float(expected.groups["loss_by_timestep/0.9"][1])
    assert float(expected.total) > 10 * float(loss.total)
