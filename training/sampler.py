"""The contract of a sampler, and grids of timesteps.

A sampler turns noise into latents, for any path and any denoiser. Implementations are in `training.samplers`.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.diffusion.path import DDPM, Path, expand_dims, timestep_at
from training.diffusion.timestep_sampler import shift_timesteps
from training.tensors import Latents


@runtime_checkable
class Sampler(Protocol):
    """Follows a path from noise to clean latents."""

    def __call__(
        self,
        denoiser: Denoiser,
        path: Path,
        noise: Latents,
        conditioning: Conditioning,
        timesteps: torch.Tensor,
        *,
        seed: int = 0,
        positions: Sequence[int] | None = None,
    ) -> Latents:
        """Clean latents, the same shape as `noise`.

        Args:
            denoiser: Predicts clean latents.
            path: The noise path.
            noise: Standard normal noise [b c t h w], which the sampler scales by sigma of the first timestep.
            conditioning: Passed to the denoiser.
            timesteps: Falling timesteps [n + 1], float64, from the start to 0.
            seed: Seed of the noise that a stochastic sampler adds.
            positions: Position of each video in the random stream of `seed`, [b]; None is 0, 1, …. With the
                position of a video in the whole job, its noise is the same in every batch and on every rank.
        """
        ...


def timestep_grid(num_inference_steps: int, shift: float = 1.0, t_max: float = 1.0) -> torch.Tensor:
    """Equal steps from `t_max` (noise) to 0 (clean), [num_inference_steps + 1], float64.

    Args:
        shift: Values above 1 put more timesteps near the noise; 1 gives equal steps. Larger latents need
            more. Source: Esser et al. 2024, arXiv:2403.03206, Eq. 23.

    Raises:
        ValueError: There is no step, or `shift` is not positive.
    """
    if num_inference_steps < 1 or shift <= 0:
        raise ValueError(
            f"num_inference_steps is {num_inference_steps} and shift {shift}; at least 1, and above 0"
        )
    return t_max * shift_timesteps(torch.linspace(1, 0, num_inference_steps + 1, dtype=torch.float64), shift)


def karras_grid(
    num_inference_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> torch.Tensor:
    """Sigmas from `sigma_max` to `sigma_min`, then 0, [num_inference_steps + 1], float64, for the path `EDM`.

    Source: Karras et al. 2022, arXiv:2206.00364, Eq. 5.

    Raises:
        ValueError: There is no step, or the sigmas do not fall.
    """
    if num_inference_steps < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"num_inference_steps is {num_inference_steps}, sigma_min {sigma_min} and sigma_max {sigma_max};"
            " at least 1, and 0 < sigma_min < sigma_max"
        )
    share = torch.linspace(0, 1, num_inference_steps, dtype=torch.float64)
    root_max, root_min = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    sigmas = (root_max + share * (root_min - root_max)) ** rho
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def ddpm_grid(path: DDPM, num_inference_steps: int, shift: float = 1.0) -> torch.Tensor:
    """`timestep_grid` rounded to steps of the chain `path`, [num_inference_steps + 1], float64.

    It starts at the last step at which sigma / alpha is at most 200: the last step of all with the linear
    schedule, and the 996th of 1000 steps with the cosine schedule, whose last steps divide by almost 0 what a
    network that predicts the noise does wrong.

    Source: Lin et al. 2023, arXiv:2305.08891, Table 2 (trailing).

    Raises:
        ValueError: There is no step, or two of them round to the same step of the chain.
    """
    steps = int(timestep_at(path, 200.0) * path.num_train_timesteps)
    grid = (timestep_grid(num_inference_steps, shift) * steps).round() / path.num_train_timesteps
    if bool((grid[1:] >= grid[:-1]).any()):
        raise ValueError(
            f"num_inference_steps is {num_inference_steps} and shift {shift}, but sampling has only {steps}"
            " timesteps on this path; use fewer steps, or shift 1"
        )
    return grid


def default_grid(path: Path, num_inference_steps: int, shift: float = 1.0) -> torch.Tensor:
    """The usual timesteps of a path.

    `ddpm_grid` on the path `DDPM`, `karras_grid` where timesteps exceed 1, as on `EDM`, else `timestep_grid`.

    Raises:
        ValueError: See these functions.
    """
    if isinstance(path, DDPM):
        return ddpm_grid(path, num_inference_steps, shift)
    if path.t_max > 1:
        return karras_grid(num_inference_steps, path.t_min, path.t_max)
    return timestep_grid(num_inference_steps, shift, path.t_max)


def predict(
    denoiser: Denoiser, path: Path, x: Latents, t: torch.Tensor, conditioning: Conditioning
) -> tuple[Latents, Latents]:
    """The clean part and the noise of x at timestep t (a scalar above 0)."""
    clean = denoiser(x, t.to(x).expand(len(x)), conditioning)
    alpha, sigma = expand_dims(path.alpha(t[None]).to(x)), expand_dims(path.sigma(t[None]).to(x))
    return clean, (x - alpha * clean) / sigma
