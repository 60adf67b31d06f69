"""Preconditioning, loss weights and timestep samplers keep what they promise on every path."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from training.diffusion.conditioning import Conditioning
from training.diffusion.config import DiffusionConfig
from training.diffusion.denoiser import PreconditionedDenoiser
from training.diffusion.loss_weight import MinSNRWeight, NetworkOutputWeight, VelocityWeight
from training.diffusion.path import EDM, Cosine, Path, RectifiedFlow, add_noise, expand_dims, timestep_at
from training.diffusion.preconditioning import (
    EDMPreconditioning,
    EpsilonPreconditioning,
    Preconditioning,
    ScaledVelocityPreconditioning,
    VelocityPreconditioning,
)
from training.diffusion.timestep_sampler import LogitNormal, LogNormal, Uniform
from training.errors import SettingError

PATHS: list[Path] = [RectifiedFlow(), Cosine(), EDM()]
CASES: list[tuple[Path, Preconditioning]] = [
    *((path, EDMPreconditioning(path, sigma_data=0.5)) for path in PATHS),
    (RectifiedFlow(), VelocityPreconditioning()),
    (EDM(), ScaledVelocityPreconditioning()),
    (Cosine(), EpsilonPreconditioning(Cosine())),
]
GENERATOR = torch.Generator().manual_seed(0)
CLEAN, NOISE = torch.randn(2, 5, 3, 4, 6, 4, generator=GENERATOR)
UNIFORM = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000


class Network(nn.Module):
    """Calls a function of the latents and c_noise."""

    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, c_noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        return self.function(x, c_noise)


def timesteps(path: Path) -> torch.Tensor:
    """Five timesteps at which noise is 0.1 to 10 times the clean latents."""
    return torch.tensor([timestep_at(path, ratio) for ratio in (0.1, 0.5, 1.0, 3.0, 10.0)])


@pytest.mark.parametrize(("path", "preconditioning"), CASES)
def test_the_target_of_the_network_gives_the_clean_latents(
    path: Path, preconditioning: Preconditioning
) -> None:
    """And the loss weight 1 / c_out^2 is the squared error of the network's output."""
    t = timesteps(path)
    noisy = add_noise(path, CLEAN, NOISE, t)
    skip, out = expand_dims(preconditioning.c_skip(t)), expand_dims(preconditioning.c_out(t))
    target = (CLEAN - skip * noisy) / out

    def function(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        assert torch.equal(c_noise, preconditioning.c_noise(t))
        torch.testing.assert_close(x, expand_dims(preconditioning.c_in(t)) * noisy)
        moved: torch.Tensor = target + 0.3
        return moved

    denoiser = PreconditionedDenoiser(Network(function), path, preconditioning)
    error = (denoiser(noisy, t, Conditioning()) - CLEAN).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(
        NetworkOutputWeight(preconditioning)(t) * error, torch.full((5,), 0.09), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("path", PATHS)
def test_with_edm_input_and_target_have_unit_variance(path: Path) -> None:
    p = EDMPreconditioning(path, sigma_data=0.5)
    t = timesteps(path).double()
    clean, noise = 0.5 * torch.randn(2, 5, 1, 1, 1, 40_000, dtype=torch.float64, generator=GENERATOR)
    clean, noise = clean, noise * 2
    noisy = add_noise(path, clean, noise, t)
    target = (clean - expand_dims(p.c_skip(t)) * noisy) / expand_dims(p.c_out(t))
    for values in (expand_dims(p.c_in(t)) * noisy, target):
        torch.testing.assert_close(
            values.flatten(1).std(1), torch.ones(5, dtype=torch.float64), rtol=0.02, atol=0
        )


def test_on_the_edm_path_the_formulas_are_those_of_edm() -> None:
    """Source: Karras et al. 2022, Table 1, with sigma_data 0.5."""
    sigma, data = torch.tensor([0.01, 1.0, 50.0]), 0.5
    p, root = EDMPreconditioning(EDM(), data), (sigma**2 + data**2).sqrt()
    torch.testing.assert_close(p.c_skip(sigma), data**2 / root**2)
    torch.testing.assert_close(p.c_out(sigma), sigma * data / root)
    torch.testing.assert_close(p.c_in(sigma), 1 / root)
    torch.testing.assert_close(p.c_noise(sigma), sigma.log() / 4)
    torch.testing.assert_close(NetworkOutputWeight(p)(sigma), root**2 / (sigma * data) ** 2)


def test_pure_noise_is_to_the_network_what_training_has_seen() -> None:
    """sigma / alpha is infinite where samplers begin; a network knows no c_noise of that."""
    for path, seen in ((RectifiedFlow(), 0.996), (Cosine(), 0.998)):
        p = EDMPreconditioning(path)
        at_start, near = p.c_noise(torch.tensor([path.t_max])), p.c_noise(torch.tensor([seen]))
        torch.testing.assert_close(at_start, near)
        torch.testing.assert_close(at_start, torch.tensor([math.log(200) / 4]))


def test_a_network_of_scaled_latents_works_on_unscaled_ones() -> None:
    """Latents and sigmas of unit variance, and the same ones times 0.5 as in Cosmos-Predict1."""
    sigma, scale = torch.tensor([0.02, 0.7, 2.0, 9.0, 100.0]), 0.5
    ours, theirs = EDMPreconditioning(EDM(), 1.0, latent_scale=scale), EDMPreconditioning(EDM(), scale)
    noisy = add_noise(EDM(), CLEAN, NOISE, sigma)
    torch.testing.assert_close(ours.c_noise(sigma), theirs.c_noise(scale * sigma))
    for name, factor in (("c_in", scale), ("c_skip", 1.0), ("c_out", 1 / scale)):
        expected = factor * getattr(theirs, name)(scale * sigma)
        torch.testing.assert_close(getattr(ours, name)(sigma), expected)
    torch.testing.assert_close(
        expand_dims(ours.c_in(sigma)) * noisy, expand_dims(theirs.c_in(scale * sigma)) * scale * noisy
    )


def test_velocity_networks_of_both_paths_are_interchangeable() -> None:
    """A sigma of the EDM path and t = sigma / (1 + sigma) of the flow give the same network input."""
    sigma = torch.tensor([0.2, 1.0, 9.0, 0.01, 60.0])
    t = sigma / (1 + sigma)
    flow, scaled = VelocityPreconditioning(), ScaledVelocityPreconditioning()
    noisy_flow, noisy_edm = add_noise(RectifiedFlow(), CLEAN, NOISE, t), add_noise(EDM(), CLEAN, NOISE, sigma)
    torch.testing.assert_close(expand_dims(scaled.c_in(sigma)) * noisy_edm, noisy_flow)
    torch.testing.assert_close(scaled.c_noise(sigma), flow.c_noise(t))
    torch.testing.assert_close(scaled.c_out(sigma), flow.c_out(t))


@pytest.mark.parametrize("path", PATHS)
def test_the_velocity_weight_compares_velocities(path: Path) -> None:
    t = timesteps(path)
    noisy = add_noise(path, CLEAN, NOISE, t)
    clean = CLEAN + 0.2
    noise = (noisy - expand_dims(path.alpha(t)) * clean) / expand_dims(path.sigma(t))
    error = ((noise - clean) - (NOISE - CLEAN)).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(VelocityWeight(path)(t) * 0.04, error, rtol=1e-3, atol=1e-6)


def test_the_min_snr_weight_is_limited() -> None:
    assert MinSNRWeight(RectifiedFlow())(torch.tensor([0.1, 0.5])).tolist() == pytest.approx([5.0, 1.0])


def test_a_timestep_per_frame_adds_noise_per_frame() -> None:
    t = torch.tensor([[0.0, 0.5, 1.0]]).expand(5, 3)
    noisy = add_noise(RectifiedFlow(), CLEAN[:, :3], NOISE[:, :3], t.repeat(1, 1)[:, [0, 1, 2, 2]])
    assert torch.equal(noisy[:, :, 0], CLEAN[:, :3, 0])
    assert torch.equal(noisy[:, :, 2], NOISE[:, :3, 2])


def test_given_frames_reach_the_network_and_are_returned() -> None:
    mask = torch.zeros(5, 1, 4, 6, 4)
    mask[:, :, 0] = 1
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def function(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        seen.append((x, c_noise))
        return torch.zeros_like(x)

    conditioning = Conditioning(
        condition_mask=mask, condition_latents=CLEAN, condition_timestep=torch.full((5,), 0.1)
    )
    for has_frame_timesteps in (False, True):
        denoiser = PreconditionedDenoiser(
            Network(function), RectifiedFlow(), VelocityPreconditioning(), has_frame_timesteps
        )
        out = denoiser(NOISE, torch.full((5,), 0.7), conditioning)
        assert torch.equal(out[:, :, 0], CLEAN[:, :, 0])
        assert torch.equal(out[:, :, 1:], NOISE[:, :, 1:])
    assert torch.equal(seen[0][0][:, :, 0], CLEAN[:, :, 0])
    assert seen[0][1].shape == (5,)
    assert seen[1][1][0].tolist() == pytest.approx([0.1, 0.7, 0.7, 0.7])


@pytest.mark.parametrize(("path", "preconditioning"), CASES)
def test_the_difference_to_the_last_given_frame_is_denoised(
    path: Path, preconditioning: Preconditioning
) -> None:
    """The same network denoises a clip, and a clip to which the last given frame was added."""
    network = Network(lambda x, c_noise: 0.3 * x + expand_dims(c_noise.float()) * 1e-3)
    mask = torch.zeros(5, 1, 4, 6, 4)
    mask[:3, :, 0] = 1  # of the others no frame is given
    last = CLEAN[:, :, :1] * mask[:, :, :1]
    t = timesteps(path)
    noisy = add_noise(path, CLEAN, NOISE, t)
    plain = PreconditionedDenoiser(network, path, preconditioning)(noisy, t, Conditioning())
    conditioning = Conditioning(condition_mask=mask, condition_latents=CLEAN)
    residual = PreconditionedDenoiser(network, path, preconditioning, given_residual=True)
    out = residual(add_noise(path, CLEAN + last, NOISE, t), t, conditioning)
    torch.testing.assert_close(out[:, :, 1:], (plain + last)[:, :, 1:], rtol=1e-4, atol=1e-4)
    assert torch.equal(out[:3, :, 0], CLEAN[:3, :, 0])


def test_logit_normal_timesteps() -> None:
    plain, shifted = (LogitNormal(shift=shift)(UNIFORM, (16, 3, 4, 6)) for shift in (1.0, 5.0))
    assert float(plain.median()) == pytest.approx(0.5, abs=2e-3)
    assert float(torch.logit(plain).std()) == pytest.approx(1.0, abs=0.02)
    assert float(shifted.median()) == pytest.approx(5 / 6, abs=2e-3)
    assert float(LogitNormal(mean=-50.0)(UNIFORM, (16, 3, 4, 6)).min()) == pytest.approx(1e-3)
    high = LogitNormal(mean=-3.0, high_noise_share=0.05)(UNIFORM, (16, 3, 4, 6))
    assert int((high >= 0.98).sum()) == 50


def test_log_normal_sigmas_grow_with_the_number_of_frames() -> None:
    image, video = (LogNormal(mean=0.5, std=1.2)(UNIFORM, (16, t, 4, 6)) for t in (1, 4))
    assert float(image.log().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(image.log().std()) == pytest.approx(1.2, abs=0.03)
    torch.testing.assert_close(video[100:900], 2 * image[100:900])
    assert float(video.max()) <= 80


def test_uniform_timesteps_can_be_discrete() -> None:
    t = Uniform(num_timesteps=4)(UNIFORM, (16, 1, 4, 6))
    assert sorted(set(t.tolist())) == [0.25, 0.5, 0.75, 1.0]
    assert float(Uniform(0.2, 0.4)(UNIFORM, (16, 1, 4, 6)).mean()) == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("path", PATHS)
def test_the_timestep_of_a_noise_ratio(path: Path) -> None:
    for ratio in (0.05, 1.0, 19.0):
        t = torch.tensor([timestep_at(path, ratio)], dtype=torch.float64)
        assert float(path.sigma(t) / path.alpha(t)) == pytest.approx(ratio, rel=1e-6)
    assert math.isclose(timestep_at(path, 1e9), path.t_max)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": "straight"}, "no path 'straight'"),
        ({"preconditioning": "x0"}, "no preconditioning 'x0'"),
        ({"path": "edm", "preconditioning": "velocity"}, "not defined on the path edm"),
        ({"path": "cosine", "preconditioning": "scaled_velocity"}, "use the path edm"),
    ],
)
def test_a_diffusion_process_that_does_not_exist_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DiffusionConfig(**values)
