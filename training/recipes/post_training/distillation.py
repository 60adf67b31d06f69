"""The parts of a distillation: its timesteps, its teacher, and what the model file records of them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from training.diffusion.denoiser import FrozenDenoiser
from training.diffusion.timestep_sampler import Choice
from training.errors import SettingError
from training.objectives.denoising import Denoising
from training.objectives.trajectory_distillation import TrajectoryDistillation
from training.recipes.config import TrainingConfig
from training.sampler import default_grid


def teacher_timesteps(config: TrainingConfig) -> torch.Tensor:
    """Timesteps of the teacher [n m + 1], float64; every m-th is one of the student.

    Raises:
        SettingError: The path has not so many timesteps.
    """
    steps = config.distillation_steps * config.distillation_teacher_steps
    try:
        return default_grid(config.diffusion.build_path(), steps, config.flow_shift)
    except ValueError as error:
        raise SettingError(
            f"the teacher cannot take {steps} steps: {error}",
            remedy="lower distillation_steps or distillation_teacher_steps",
        ) from error


def distillation_record(config: TrainingConfig) -> dict[str, Any]:
    """What the model file of a student says about how it is sampled; {} of another model."""
    if not config.distillation:
        return {}
    timesteps = teacher_timesteps(config)[:: config.distillation_teacher_steps]
    return {"timesteps": timesteps.tolist(), "guidance_scale": config.distillation_guidance_scale}


def distill(denoising: Denoising, config: TrainingConfig, teacher: FrozenDenoiser) -> TrajectoryDistillation:
    """The objective of a distillation, with the conditions of the denoising objective of these settings."""
    values = {each.name: getattr(denoising, each.name) for each in fields(denoising)}
    timesteps = teacher_timesteps(config)
    starts = timesteps[: -1 : config.distillation_teacher_steps]
    return TrajectoryDistillation(
        **{**values, "timestep_sampler": Choice(tuple(starts.tolist()))},
        teacher=teacher,
        teacher_timesteps=timesteps,
        teacher_steps=config.distillation_teacher_steps,
        guidance_scale=config.distillation_guidance_scale,
    )


def refuse_student(distillation: Mapping[str, Any], where: str) -> None:
    """Refuse to evaluate the loss of a distilled model.

    Raises:
        SettingError: The model is one.
    """
    if distillation:
        raise SettingError(
            "this model is distilled: it predicts where a trajectory ends, not the mean of the clean latents,"
            " so its denoising loss says nothing about its videos",
            where=where,
            remedy="sample videos from it and compare them, for example with evaluate world",
        )
