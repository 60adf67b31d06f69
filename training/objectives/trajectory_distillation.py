"""Distillation to few steps: one step of a student leads to where many steps of a teacher lead."""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import ClassifierFreeGuidance, Denoiser, FrozenDenoiser
from training.diffusion.path import Path, expand_dims
from training.objectives.denoising import Denoising, LatentBatch
from training.tensors import Latents, Timestep


@dataclass(frozen=True, kw_only=True)
class TrajectoryDistillation(Denoising):
    """The denoising objective with another target than the clean latents.

    The timesteps of the student t_0 > t_1 > … > t_n = 0 are every m-th of those of the teacher. From a noisy
    clip at t_k the teacher follows its probability flow ODE to t_(k+1), in m steps. The target is the clean
    prediction with which one step of Euler's method leads from the same noisy clip to the same place. With
    it, n steps of the student from noise end where n m steps of the teacher end. `timestep_sampler` must draw
    from t_0 … t_(n-1).

    This is one round of progressive distillation (Salimans & Ho 2022, arXiv:2202.00512, Algorithm 2 and
    Eq. 9) with m steps of the teacher instead of 2, at the timesteps of the student alone, and multistep
    consistency distillation (Heek et al. 2024, arXiv:2403.06807) without the bootstrap from the student.

    Attributes:
        teacher: The denoiser that is distilled.
        teacher_timesteps: Falling timesteps of the teacher [n m + 1], float64, from `t_max` to 0.
        teacher_steps: m.
        guidance_scale: Scale of classifier-free guidance of the teacher; 1 is none.
    """

    teacher: FrozenDenoiser
    teacher_timesteps: Tensor = field(default_factory=lambda: torch.tensor([1.0, 0.0], dtype=torch.float64))
    teacher_steps: int = 1
    guidance_scale: float = 1.0

    @torch.no_grad()
    def _conditioning(self, batch: LatentBatch) -> Conditioning:
        """The text encoder is that of the teacher, and gets no gradient."""
        return super()._conditioning(batch)

    @torch.no_grad()
    def _target(self, clean: Latents, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        windows = self.teacher_timesteps.unfold(0, self.teacher_steps + 1, self.teacher_steps).to(t.device)
        number = (windows[:, 0] - t[:, None]).abs().argmin(1)  # of the step of the student, [b]
        grid = windows[number]
        weak = conditioning.without_text()
        teacher = ClassifierFreeGuidance(self.teacher, self.teacher, self.guidance_scale, weak)
        end = follow_trajectory(teacher, self.path, noisy, grid, conditioning)
        alpha, sigma = (expand_dims(each(grid[:, 0]).float()) for each in (self.path.alpha, self.path.sigma))
        alpha_end, sigma_end = (
            expand_dims(each(grid[:, -1]).float()) for each in (self.path.alpha, self.path.sigma)
        )
        kept = sigma_end / sigma
        return (end - kept * noisy) / (alpha_end - kept * alpha)


def follow_trajectory(
    denoiser: Denoiser, path: Path, x: Latents, grid: Tensor, conditioning: Conditioning
) -> Latents:
    """Follow the probability flow ODE with Heun's method, each clip along timesteps of its own.

    Args:
        denoiser: Predicts clean latents.
        path: The noise path.
        x: Noisy latents [b c t h w] at the first timesteps.
        grid: Falling timesteps of each clip [b m + 1], float64. The last may be 0, all others are above.
        conditioning: Passed to the denoiser.
    """
    for now, after in pairwise(grid.unbind(1)):
        alpha, sigma = (expand_dims(each(now).to(x)) for each in (path.alpha, path.sigma))
        alpha_next, sigma_next = (expand_dims(each(after).to(x)) for each in (path.alpha, path.sigma))
        clean = denoiser(x, now.float(), conditioning)
        noise = (x - alpha * clean) / sigma
        x_next = x + (alpha_next - alpha) * clean + (sigma_next - sigma) * noise
        if (is_inner := after > 0).any():  # else the noise is not defined at the end
            second = denoiser(x_next, after.float(), conditioning)
            second_noise = (x_next - alpha_next * second) / sigma_next.clamp(min=1e-12)
            clean, noise = (clean + second) / 2, (noise + second_noise) / 2
            corrected = x + (alpha_next - alpha) * clean + (sigma_next - sigma) * noise
            x_next = torch.where(is_inner[:, None, None, None, None], corrected, x_next)
        x = x_next
    return x
