"""With exact denoisers, each sampler on each path returns the distribution of the data."""

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import ClassifierFreeGuidance, PreconditionedDenoiser
from training.diffusion.path import DDPM, EDM, Cosine, Path, RectifiedFlow, expand_dims
from training.diffusion.preconditioning import EDMPreconditioning, EpsilonPreconditioning
from training.noise import normal
from training.sampler import Sampler, default_grid
from training.samplers.ddim import DDIM
from training.samplers.euler import sample_euler
from training.samplers.heun import sample_heun
from training.samplers.registry import SAMPLERS
from training.samplers.unipc import UniPC

PATHS: list[Path] = [RectifiedFlow(), Cosine(), EDM(), DDPM(), DDPM("cosine")]
STOCHASTIC = ("ddpm", "ddim-half")
ALL: dict[str, Sampler] = {**SAMPLERS, "ddim-half": DDIM(eta=0.5)}
STEPS = {"heun": 100, "unipc": 100, "unipc3": 100, "ddpm": 500}  # others are of order 1 and take 200
NONE = Conditioning()


@dataclass(frozen=True)
class Mixture:
    """The exact denoiser of a mixture of normal distributions, for each latent on its own."""

    path: Path
    weights: tuple[float, ...] = (0.3, 0.7)
    means: tuple[float, ...] = (-2.0, 1.0)
    stds: tuple[float, ...] = (0.2, 0.4)

    def __call__(self, noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        alpha, sigma = expand_dims(self.path.alpha(t)), expand_dims(self.path.sigma(t))
        logits, cleans = [], []
        for weight, mean, std in zip(self.weights, self.means, self.stds, strict=True):
            variance = alpha**2 * std**2 + sigma**2
            residual = noisy - alpha * mean
            logits.append(math.log(weight) - (residual**2 / variance + variance.log()) / 2)
            cleans.append(mean + alpha * std**2 / variance * residual)
        shares = torch.softmax(torch.stack(logits), 0)
        return (shares * torch.stack(cleans)).sum(0)

    def cdf(self, x: Tensor) -> Tensor:
        """The distribution function of the data."""
        parts = zip(self.weights, self.means, self.stds, strict=True)
        return sum((w * torch.special.ndtr((x - m) / s) for w, m, s in parts), torch.zeros_like(x))


def gaussian(path: Path, mean: float = 0.6, std: float = 0.4) -> Mixture:
    """The exact denoiser of one normal distribution."""
    return Mixture(path, (1.0,), (mean,), (std,))


def quantile_noise(count: int) -> Tensor:
    """Standard normal numbers without chance: the middles of `count` equal shares."""
    z = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    return z[torch.randperm(count, generator=torch.Generator().manual_seed(0))].reshape(1, 1, 1, 1, count)


@lru_cache
def grid_of_log_ratios(path: Path, steps: int) -> Tensor:
    """Timesteps inside the path with equal steps of log(sigma / alpha), from 3 to -3."""
    log_ratios = torch.linspace(3, -3, steps + 1, dtype=torch.float64)
    low, high = torch.zeros_like(log_ratios), torch.full_like(log_ratios, path.t_max)
    for _ in range(60):
        middle = (low + high) / 2
        is_above = path.sigma(middle) > log_ratios.exp() * path.alpha(middle)
        low, high = torch.where(is_above, low, middle), torch.where(is_above, middle, high)
    return high


def identify(value: object) -> str:
    """The id of a parameter. The text of a function is its address, which differs between processes."""
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_noise_becomes_the_distribution_of_the_data(name: str, path: Path) -> None:
    exact, is_stochastic = Mixture(path), name in STOCHASTIC
    timesteps = default_grid(path, STEPS.get(name, 200))
    x = ALL[name](
        exact, path, quantile_noise(4000 if is_stochastic else 1000), NONE, timesteps, seed=3
    ).flatten()
    expected = (torch.arange(len(x), dtype=torch.float64) + 0.5) / len(x)
    assert float((exact.cdf(x.sort().values) - expected).abs().max()) < (0.04 if is_stochastic else 0.015)
    mode = x[x < -1]
    mean, std = exact.means[0], exact.stds[0]
    assert len(mode) / len(x) == pytest.approx(exact.weights[0], abs=0.03 if is_stochastic else 0.01)
    assert float(mode.mean()) == pytest.approx(mean, abs=0.03)
    assert float(mode.std()) == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize(
    ("sampler", "order", "steps"),
    [
        (sample_euler, 1, 64),
        (DDIM(), 1, 64),
        (sample_heun, 2, 32),
        (UniPC(order=1), 2, 32),  # the corrector adds one order
        (UniPC(order=2), 3, 32),
        (UniPC(order=3), 4, 64),
    ],
    ids=identify,
)
def test_the_order_of_convergence(path: Path, sampler: Sampler, order: int, steps: int) -> None:
    """On timesteps inside the path; the exact result is known."""
    exact = gaussian(path)
    z = torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(1, 1, 1, 1, 5)
    errors = []
    for count in (steps, 2 * steps):
        timesteps = grid_of_log_ratios(path, count)
        alpha, sigma = path.alpha(timesteps), path.sigma(timesteps)
        std = (alpha**2 * exact.stds[0] ** 2 + sigma**2).sqrt()
        expected = alpha[-1] * exact.means[0] + std[-1] / std[0] * (sigma[0] * z - alpha[0] * exact.means[0])
        errors.append(float((sampler(exact, path, z, NONE, timesteps) - expected).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("path", [RectifiedFlow(), Cosine()], ids=str)
@pytest.mark.parametrize(
    ("sampler", "order"), [(sample_euler, 1), (sample_heun, 2), (UniPC(order=2), 2)], ids=identify
)
def test_the_order_of_convergence_from_pure_noise_to_clean(path: Path, sampler: Sampler, order: int) -> None:
    exact = gaussian(path)
    z = torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(1, 1, 1, 1, 5)
    expected = exact.means[0] + exact.stds[0] * z
    errors = [
        float((sampler(exact, path, z, NONE, default_grid(path, count)) - expected).abs().max())
        for count in (150, 300)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("name", ["unipc", "unipc3", "euler", "ddim"])
def test_equal_noise_ratios_give_equal_samples_on_every_path(name: str) -> None:
    z = quantile_noise(64)
    timesteps = [grid_of_log_ratios(path, 10) for path in PATHS]
    results = []
    for path, grid in zip(PATHS, timesteps, strict=True):
        scale = (path.alpha(grid[:1]), path.alpha(grid[-1:]))
        start = z / path.sigma(grid[:1]) * scale[0]  # the same latents / alpha
        results.append(SAMPLERS[name](Mixture(path), path, start, NONE, grid) / scale[1])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_guidance_extrapolates_with_every_sampler(name: str, path: Path) -> None:
    """Between two normal distributions of equal width the extrapolation is exact."""
    denoiser = ClassifierFreeGuidance(gaussian(path, 0.4), gaussian(path, 0.1), guidance_scale=3.0)
    timesteps = default_grid(path, 50)
    x = ALL[name](denoiser, path, quantile_noise(400), NONE, timesteps)
    assert float(x.mean()) == pytest.approx(1.0, abs=0.06)
    assert float(x.std()) == pytest.approx(0.4, rel=0.15)
    unguided = ClassifierFreeGuidance(gaussian(path, 0.4), gaussian(path, 0.1), guidance_scale=1.0)
    assert float(unguided(x, timesteps[:1], NONE).mean()) == float(
        gaussian(path, 0.4)(x, timesteps[:1], NONE).mean()
    )


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_few_steps_in_float32_are_finite(name: str, path: Path, steps: int) -> None:
    """A new network that predicts zero, and of DDPM the exact noise of the clean latents 0.5."""

    def zero(x: Tensor, c_noise: Tensor, conditioning: Conditioning) -> Tensor:
        assert bool(c_noise.isfinite().all())
        return torch.zeros_like(x)

    def noise_of_half(x: Tensor, c_noise: Tensor, conditioning: Conditioning) -> Tensor:
        t = c_noise + 0.001
        return (x - 0.5 * expand_dims(path.alpha(t))) / expand_dims(path.sigma(t))

    timesteps, z = default_grid(path, steps), quantile_noise(32).float()
    denoiser = PreconditionedDenoiser(zero, path, EDMPreconditioning(path))  # type: ignore[arg-type]
    x = ALL[name](denoiser, path, z, NONE, timesteps)
    assert x.dtype == torch.float32
    assert bool(x.isfinite().all())
    if isinstance(path, DDPM):
        denoiser = PreconditionedDenoiser(noise_of_half, path, EpsilonPreconditioning(path))  # type: ignore[arg-type]
        assert float((ALL[name](denoiser, path, z, NONE, timesteps) - 0.5).abs().max()) < 0.01


@pytest.mark.parametrize("name", STOCHASTIC)
def test_added_noise_depends_on_seed_and_position_not_on_the_batch(name: str) -> None:
    path, sampler = RectifiedFlow(), ALL[name]
    noise = normal(1, "sample", range(4), (2, 1, 2, 2))

    def sample(which: list[int], seed: int = 7) -> Tensor:
        return sampler(
            Mixture(path), path, noise[which], NONE, default_grid(path, 8), seed=seed, positions=which
        )

    whole = sample([0, 1, 2, 3])
    assert torch.equal(sampler(Mixture(path), path, noise, NONE, default_grid(path, 8), seed=7), whole)
    assert torch.equal(sample([3, 1]), whole[[3, 1]])
    assert not torch.equal(sample([0, 1, 2, 3], seed=8), whole)
    same_start = sampler(Mixture(path), path, noise[[0, 0]], NONE, default_grid(path, 8), seed=7)
    assert not torch.equal(same_start[0], same_start[1])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("karras", [False, True])
def test_unipc_equals_diffusers(order: int, karras: bool) -> None:
    """Flow prediction, with the shifted sigmas and with those of Cosmos-Predict2.5."""
    settings = {"use_karras_sigmas": True, "sigma_max": 200.0, "sigma_min": 0.01} if karras else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        scheduler = diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            solver_order=order,
            flow_shift=1.0 if karras else 5.0,
            **settings,
        )
        scheduler.set_timesteps(12)
    exact, sigmas = Mixture(RectifiedFlow()), scheduler.sigmas.double()
    x = z = quantile_noise(64)
    for sigma, timestep in zip(sigmas, scheduler.timesteps, strict=False):
        velocity = (x - exact(x, sigma[None], NONE)) / sigma
        x = scheduler.step(velocity, timestep, x, return_dict=False)[0]
    ours = UniPC(order)(exact, RectifiedFlow(), z / sigmas[0], NONE, sigmas)
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_equals_diffusers(eta: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        scheduler = diffusers.DDIMScheduler(
            beta_start=1e-4, beta_end=0.02, clip_sample=False, timestep_spacing="trailing"
        )
    scheduler.set_timesteps(50)
    path, z = DDPM(), quantile_noise(64).float()
    exact, grid, x = Mixture(path), default_grid(path, 50), z
    assert scheduler.timesteps.tolist() == (grid[:-1] * 1000 - 1).round().int().tolist()
    for step, (i, t) in enumerate(zip(scheduler.timesteps, grid.float(), strict=False)):
        clean = exact(x, t[None], NONE)
        predicted = (x - float(path.alpha(t[None])) * clean) / float(path.sigma(t[None]))
        new = normal(5, f"sampler step {step}", [0], z.shape[1:])
        x = scheduler.step(predicted, i, x, eta=eta, variance_noise=new, return_dict=False)[0]
    ours = DDIM(eta)(exact, path, z * 1.0, NONE, grid, seed=5)
    assert float((ours - x).abs().max()) < 5e-3
    assert float((ours - x).abs().mean()) < 2e-4


def test_clipping_limits_the_clean_prediction() -> None:
    """And the noise follows from it, so the state keeps its noise level."""
    path = DDPM()

    def wrong(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return torch.full_like(noisy, 50.0)

    x = DDIM(clip_sample_range=2.0)(wrong, path, quantile_noise(16), NONE, default_grid(path, 10))
    torch.testing.assert_close(x, torch.full_like(x, 2.0))
    exact, grid = gaussian(path), default_grid(path, 10)
    unlimited = DDIM()(exact, path, quantile_noise(16), NONE, grid)
    limited = DDIM(clip_sample_range=9.0)(exact, path, quantile_noise(16), NONE, grid)
    torch.testing.assert_close(limited, unlimited)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="eta is 2"):
        DDIM(eta=2)
    with pytest.raises(ValueError, match="clip_sample_range is 0"):
        DDIM(clip_sample_range=0.0)
    with pytest.raises(ValueError, match="order is 4"):
        UniPC(order=4)
