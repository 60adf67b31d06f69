"""Noise paths go from clean latents to noise, and that of DDPM equals diffusers' tables."""

import itertools
import warnings
from typing import Any

import pytest
import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.config import DiffusionConfig
from training.diffusion.denoiser import PreconditionedDenoiser
from training.diffusion.loss_weight import NetworkOutputWeight
from training.diffusion.path import DDPM, EDM, Cosine, Path, RectifiedFlow, add_noise, expand_dims
from training.diffusion.preconditioning import EpsilonPreconditioning
from training.diffusion.timestep_sampler import Uniform
from training.errors import SettingError

PATHS: list[Path] = [RectifiedFlow(), Cosine(), EDM(), DDPM(), DDPM("cosine")]
DIFFUSERS_SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
STEPS = [0, 1, 17, 500, 998, 999]


def ddpm_scheduler(schedule: str) -> Any:
    """The scheduler of diffusers with 1000 steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        return diffusers.DDPMScheduler(
            beta_start=1e-4, beta_end=0.02, beta_schedule=DIFFUSERS_SCHEDULES[schedule]
        )


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_path_goes_from_clean_to_noise(path: Path, dtype: torch.dtype) -> None:
    t = torch.cat([torch.zeros(1), torch.linspace(path.t_min, path.t_max, 200)]).to(dtype)
    alpha, sigma = path.alpha(t), path.sigma(t)
    assert alpha.dtype == sigma.dtype == dtype
    assert float(alpha[0]) == 1
    assert float(sigma[0]) == 0
    assert bool((alpha[:-1] > 0).all())
    assert float(alpha[-1]) >= 0
    assert bool((alpha.diff() <= 0).all())
    assert bool((sigma.diff() >= 0).all())
    assert bool((sigma.diff()[:100] > 0).all())
    assert 0 < path.t_min < path.t_max


@pytest.mark.parametrize("path", [Cosine(), DDPM(), DDPM("cosine")], ids=str)
def test_the_variance_is_preserved(path: Path) -> None:
    t = torch.linspace(0, 1, 77, dtype=torch.float64)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t))


@pytest.mark.parametrize("path", [RectifiedFlow(), Cosine()], ids=str)
def test_pure_noise_has_exactly_no_clean_part(path: Path) -> None:
    for dtype in (torch.float32, torch.float64):
        assert float(path.alpha(torch.ones(1, dtype=dtype))) == 0


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddpm_equals_the_table_and_the_noise_of_diffusers(schedule: str) -> None:
    scheduler, path = ddpm_scheduler(schedule), DDPM(schedule)
    table = scheduler.alphas_cumprod.double()
    alphas = path.alpha((torch.arange(1000, dtype=torch.float64) + 1) / 1000)
    torch.testing.assert_close(alphas**2, table, rtol=1e-4, atol=1e-7)  # their table is float32
    clean, noise = torch.randn(2, len(STEPS), 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    theirs = scheduler.add_noise(clean, noise, torch.tensor(STEPS))
    ours = add_noise(path, clean, noise, (torch.tensor(STEPS) + 1) / 1000)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert 0 < float(path.alpha(torch.ones(1))) < 0.01


def test_between_two_steps_the_logarithm_of_alpha_is_linear() -> None:
    path = DDPM(num_train_timesteps=10)
    t = torch.tensor([0.3, 0.34, 0.4], dtype=torch.float64)
    low, middle, high = path.alpha(t).log().tolist()
    assert middle == pytest.approx(0.6 * low + 0.4 * high, rel=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_network_sees_the_step_and_its_target_is_the_noise(schedule: str) -> None:
    """The loss with the weight network_output is the simple loss of DDPM."""
    path = DDPM(schedule)
    clean, noise = torch.randn(2, len(STEPS), 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    t = (torch.tensor(STEPS) + 1) / 1000
    seen = []

    def network(x: torch.Tensor, c_noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        seen.append((x, c_noise))
        return noise + 0.1

    p = EpsilonPreconditioning(path)
    noisy = add_noise(path, clean, noise, t)
    prediction = PreconditionedDenoiser(network, path, p)(noisy, t, Conditioning())  # type: ignore[arg-type]
    assert (1000 * seen[0][1]).tolist() == pytest.approx(STEPS, abs=1e-3)
    assert torch.equal(seen[0][0], noisy)
    error = (prediction - clean).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(
        NetworkOutputWeight(p)(t) * error, torch.full((len(STEPS),), 0.01), rtol=1e-2, atol=0
    )
    expected = clean - 0.1 * expand_dims(path.sigma(t) / path.alpha(t))
    torch.testing.assert_close(prediction, expected, rtol=1e-3, atol=1e-3)


def test_uniform_timesteps_are_the_steps_of_the_chain() -> None:
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    t = Uniform(num_timesteps=1000)(uniform, (16, 1, 4, 6))
    assert (1000 * EpsilonPreconditioning(DDPM()).c_noise(t)).round().tolist() == list(range(1000))


def test_the_names_of_the_ddpm_paths() -> None:
    assert DiffusionConfig("ddpm", "epsilon").build_path() == DDPM()
    assert DiffusionConfig("ddpm_cosine").build_path() == DDPM("cosine")
    assert DiffusionConfig("ddpm", "epsilon").build_preconditioning() == EpsilonPreconditioning(DDPM())
    for path in ("cosine", "rectified_flow", "edm"):
        with pytest.raises(SettingError, match="use the path ddpm"):
            DiffusionConfig(path, "epsilon")
    for schedule, steps in itertools.product(("linear", "cubic"), (0, 10)):
        if (schedule, steps) != ("linear", 10):
            with pytest.raises(ValueError, match=f"schedule is '{schedule}' and num_train_timesteps {steps}"):
                DDPM(schedule, steps)
