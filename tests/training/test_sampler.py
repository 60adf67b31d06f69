"""With a perfect denoiser a sampler turns noise into data, on each path, at its order."""

import pytest
import torch

from training.denoiser import ClassifierFreeGuidance
from training.path import Cosine, Path, RectifiedFlow, mix, wide
from training.sampler import euler, heun, times
from training.tensors import Latents, Level

MEAN, DEVIATION = 1.5, 0.4
PATHS = [RectifiedFlow(), Cosine()]


class Gaussian:
    """The best guess for data that are normal: exact, so that noise z must become mean + deviation z."""

    def __init__(self, path: Path, mean: float = MEAN) -> None:
        self.path, self.mean = path, mean

    def __call__(self, noisy: Latents, t: Level, given: None) -> Latents:
        alpha, sigma = wide(self.path.alpha(t)), wide(self.path.sigma(t))
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
        return self.mean + gain * (noisy - alpha * self.mean)


def _error(sample: object, path: Path, steps: int, shift: float = 1.0) -> float:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 1, 1, 9)
    x = sample(Gaussian(path), path, z, None, times(steps, shift))  # type: ignore[operator]
    return float((x - (MEAN + DEVIATION * z)).abs().max())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_noise_becomes_data(path: Path, shift: float) -> None:
    assert _error(euler, path, 400, shift) < 0.02
    assert _error(heun, path, 200, shift) < 0.005


@pytest.mark.parametrize("path", PATHS)
def test_heun_is_nearer_than_euler_for_the_same_number_of_guesses(path: Path) -> None:
    assert _error(heun, path, 40) < _error(euler, path, 80) / 2


@pytest.mark.parametrize("path", PATHS)
def test_twice_the_steps_halve_the_error_of_euler_and_quarter_that_of_heun(path: Path) -> None:
    assert _error(euler, path, 100) / _error(euler, path, 200) == pytest.approx(2, rel=0.15)
    assert _error(heun, path, 50) / _error(heun, path, 100) == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_from_clean_to_noise(path: Path) -> None:
    clean, noise = torch.full((2, 1, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1, 1), -1.0)
    ends = mix(path, clean, noise, torch.tensor([0.0, 1.0]))
    assert torch.allclose(ends.flatten(), torch.tensor([3.0, -1.0]), atol=1e-6)


def test_the_cosine_path_keeps_the_variance() -> None:
    t = torch.linspace(0, 1, 7)
    assert torch.allclose(Cosine().alpha(t) ** 2 + Cosine().sigma(t) ** 2, torch.ones(7))


def test_a_shifted_grid_stays_longer_near_the_noise() -> None:
    assert times(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert times(4, 3.0).tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])
    with pytest.raises(ValueError, match="steps is 0"):
        times(0)


def test_guidance_leans_away_from_the_weaker_guess() -> None:
    path = RectifiedFlow()
    good, weak = Gaussian(path, 1.0), Gaussian(path, 0.5)
    x, t = torch.zeros(1, 1, 1, 1, 1), torch.tensor([1.0])
    assert float(ClassifierFreeGuidance(good, weak, 1.0)(x, t, None)) == pytest.approx(1.0)
    assert float(ClassifierFreeGuidance(good, weak, 3.0)(x, t, None)) == pytest.approx(0.5 + 3 * 0.5)
