"""How a model is sampled: by which sampler, at which timesteps, with which guidance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from training.diffusion.path import Path
from training.errors import SettingError
from training.sampler import Sampler, default_grid
from training.samplers.registry import SAMPLERS

DEFAULT_SAMPLER, DEFAULT_STEPS, DEFAULT_GUIDANCE_SCALE = "heun", 20, 2.0
STUDENT_SAMPLER = "euler"


@dataclass(frozen=True)
class SamplingSteps:
    """How a model is sampled.

    Attributes:
        sampler: The sampler.
        timesteps: Falling timesteps [n + 1], float64, from the start to 0.
        guidance_scale: Scale of classifier-free guidance; 1 is none.
    """

    sampler: Sampler
    timesteps: torch.Tensor
    guidance_scale: float


def choose_steps(
    path: Path,
    distillation: Mapping[str, Any],
    *,
    sampler: str = "",
    num_inference_steps: int = 0,
    guidance_scale: float | None = None,
    flow_shift: float = 1.0,
) -> SamplingSteps:
    """The steps that are asked for, or the default ones. A distilled model has its own timesteps.

    Args:
        path: The noise path.
        distillation: `ModelInfo.distillation`; {} of a model that is not distilled.
        sampler: Name of the sampler; "" is heun, or euler of a distilled model.
        num_inference_steps: Steps; 0 is 20, or as many as the model was distilled to.
        guidance_scale: None is 2, or 1 of a distilled model, which has learned the guidance of its teacher.
        flow_shift: Shift of the timesteps towards noise; of a distilled model it has no effect.

    Raises:
        SettingError: There is no such sampler, the path has not so many timesteps, or the model was distilled
            to other steps.
    """
    if distillation:
        timesteps = torch.tensor(distillation["timesteps"], dtype=torch.float64)
        steps = len(timesteps) - 1
        for name, value, default in (
            ("num_inference_steps", num_inference_steps, steps),
            ("sampler", sampler, STUDENT_SAMPLER),
        ):
            if value not in (default, type(value)()):
                raise SettingError(
                    f"{name} is {value}, and this model was distilled to {steps} steps of {STUDENT_SAMPLER}",
                    remedy=f"leave {name} out",
                )
        scale = 1.0 if guidance_scale is None else guidance_scale
        return SamplingSteps(SAMPLERS[STUDENT_SAMPLER], timesteps, scale)
    try:
        timesteps = default_grid(path, num_inference_steps or DEFAULT_STEPS, flow_shift)
    except ValueError as error:
        raise SettingError(str(error), remedy="choose another num_inference_steps") from error
    scale = DEFAULT_GUIDANCE_SCALE if guidance_scale is None else guidance_scale
    return SamplingSteps(find_sampler(sampler or DEFAULT_SAMPLER), timesteps, scale)


def find_sampler(name: str) -> Sampler:
    """The sampler of this name.

    Raises:
        SettingError: There is none.
    """
    if name not in SAMPLERS:
        raise SettingError(
            f"there is no sampler {name!r}", remedy=f"choose one of {', '.join(sorted(SAMPLERS))}"
        )
    return SAMPLERS[name]
