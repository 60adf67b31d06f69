"""With a perfect denoiser, samplers turn noise into data on each path, with their order of convergence."""

import pytest
import torch

from training.denoiser import ClassifierFreeGuidance
from training.path import Cosine, Path, RectifiedFlow, add_noise, expand_dims
from training.sampler import sample_euler, sample_heun, timestep_grid
from training.tensors import Latents, Timestep

MEAN, STD = 1.5, 0.4
PATHS = [RectifiedFlow(), Cosine()]


class Gaussian:
    """The exact denoiser of normally distributed data: noise z must become mean + std z."""

    def __init__(self, path: Path, mean: float = MEAN) -> None:
        self.path, self.mean = path, mean

    def __call__(self, noisy: Latents, t: Timestep, conditioning: None) -> Latents:
        alpha, sigma = expand_dims(self.path.alpha(t)), expand_dims(self.path.sigma(t))
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return self.mean + gain * (noisy - alpha * self.mean)


def _error(sampler: object, path: Path, steps: int, shift: float = 1.0) -> float:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 1, 1, 9)
    x = sampler(Gaussian(path), path, z, None, timestep_grid(steps, shift))  # type: ignore[operator]
    return float((x - (MEAN + STD * z)).abs().max())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_noise_becomes_data(path: Path, shift: float) -> None:
    assert _error(sample_euler, path, 400, shift) < 0.02
    assert _error(sample_heun, path, 200, shift) < 0.005


@pytest.mark.parametrize("path", PATHS)
def test_heun_is_more_accurate_than_euler_for_the_same_number_of_predictions(path: Path) -> None:
    assert _error(sample_heun, path, 40) < _error(sample_euler, path, 80) / 2


@pytest.mark.parametrize("path", PATHS)
def test_euler_converges_with_order_one_and_heun_with_order_two(path: Path) -> None:
    assert _error(sample_euler, path, 100) / _error(sample_euler, path, 200) == pytest.approx(2, rel=0.15)
    assert _error(sample_heun, path, 50) / _error(sample_heun, path, 100) == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_goes_from_clean_to_noise(path: Path) -> None:
    clean, noise = torch.full((2, 1, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1, 1), -1.0)
    ends = add_noise(path, clean, noise, torch.tensor([0.0, 1.0]))
    assert torch.allclose(ends.flatten(), torch.tensor([3.0, -1.0]), atol=1e-6)


def test_the_cosine_path_preserves_the_variance() -> None:
    t = torch.linspace(0, 1, 7)
    assert torch.allclose(Cosine().alpha(t) ** 2 + Cosine().sigma(t) ** 2, torch.ones(7))


def test_a_shifted_grid_has_more_timesteps_near_the_noise() -> None:
    assert timestep_grid(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert timestep_grid(4, 3.0).tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])
    with pytest.raises(ValueError, match="num_inference_steps is 0"):
        timestep_grid(0)


def test_guidance_extrapolates_away_from_the_weaker_prediction() -> None:
    path = RectifiedFlow()
    better, weak = Gaussian(path, 1.0), Gaussian(path, 0.5)
    x, t = torch.zeros(1, 1, 1, 1, 1), torch.tensor([1.0])
    assert float(ClassifierFreeGuidance(better, weak, 1.0)(x, t, None)) == pytest.approx(1.0)
    assert float(ClassifierFreeGuidance(better, weak, 3.0)(x, t, None)) == pytest.approx(0.5 + 3 * 0.5)
