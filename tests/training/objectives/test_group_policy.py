"""Reward fine-tuning raises the reward of a policy whose best mean is known."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.diffusion.loss_weight import VelocityWeight
from training.diffusion.path import RectifiedFlow, expand_dims
from training.diffusion.timestep_sampler import LogitNormal
from training.objectives.group_policy import GroupPolicyOptimization, group_advantages
from training.sampler import default_grid
from training.samplers.ddim import DDIM

STD = 0.3


class LatentBatch(NamedTuple):
    positions: Sequence[int]
    latents: Tensor
    captions: Sequence[str]
    conditioning: Conditioning = Conditioning()


class Gaussian(nn.Module):
    """The exact denoiser of a normal distribution, whose mean [c] is trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.path = RectifiedFlow()
        self.mean = nn.Parameter(torch.zeros(channels))

    def forward(self, noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        mean = self.mean[:, None, None, None]
        alpha, sigma = expand_dims(self.path.alpha(t)), expand_dims(self.path.sigma(t))
        clean = mean + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (noisy - alpha * mean)
        mask, given = conditioning.condition_mask, conditioning.condition_latents
        return clean if mask is None or given is None else torch.where(mask.bool(), given, clean)


class NearTarget:
    """Minus the squared distance of the mean over the generated latents from a target; counts its calls."""

    def __init__(self, target: Tensor) -> None:
        self.target, self.calls = target, 0

    def __call__(self, latents: Tensor, references: Tensor) -> Tensor:
        self.calls += 1
        assert latents.shape == references.shape
        return -(latents.mean((2, 3, 4)) - self.target).square().sum(1)


def build(model: nn.Module, reward: NearTarget, **settings: object) -> GroupPolicyOptimization:
    path = RectifiedFlow()
    chosen = {"timesteps": default_grid(path, 6), "denoising_weight": 0.0, **settings}
    return GroupPolicyOptimization(
        denoiser=model,  # type: ignore[arg-type]
        path=path,
        loss_weight=VelocityWeight(path),
        timestep_sampler=LogitNormal(),
        reward=reward,
        **chosen,  # type: ignore[arg-type]
    )


def batch_at(step: int, clips: int = 4) -> LatentBatch:
    return LatentBatch(range(clips * step, clips * (step + 1)), torch.zeros(clips, 2, 1, 2, 2), [""] * clips)


def learn(objective: GroupPolicyOptimization, model: Gaussian, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    rewards = []
    for step in range(steps):
        for _ in range(2):
            loss = objective(batch_at(step), step)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
        rewards.append(float(loss.parts["reward"]))
    return rewards


def test_the_reward_rises_to_its_limit() -> None:
    model, reward = Gaussian(2), NearTarget(torch.tensor([0.8, -0.5]))
    rewards = learn(build(model, reward, clip_range=0.1), model, 25)
    assert reward.calls == 25  # the second update of a step trains on the videos of the first
    assert rewards[0] < -0.7
    assert sum(rewards[-8:]) / 8 > -0.15  # the variance of the mean of 4 latents in 2 channels is 0.045
    assert (model.mean - reward.target).abs().max() < 0.2


def test_the_denoising_loss_holds_the_model_at_its_data() -> None:
    model, reward = Gaussian(2), NearTarget(torch.tensor([0.8, -0.5]))
    learn(build(model, reward, clip_range=0.1, denoising_weight=10.0), model, 15)
    assert model.mean.abs().max() < 0.25  # without it, at 15 steps it is above 0.6


def test_rollouts_are_those_of_ddim() -> None:
    model = Gaussian(2)
    objective = build(model, NearTarget(torch.zeros(2)), eta=1.0, group_size=64)
    rollouts = objective._roll_out(batch_at(0))
    assert len(rollouts.states) == 7
    assert len(rollouts.log_probs) == 5  # the last step adds no noise
    sampled = DDIM(eta=1.0)(
        model, RectifiedFlow(), torch.randn(256, 2, 1, 2, 2), Conditioning(), objective.timesteps, seed=3
    )
    assert float(rollouts.states[-1].std()) == pytest.approx(float(sampled.detach().std()), rel=0.05)


def test_ratios_are_one_before_an_update_and_limited_after_it() -> None:
    model = Gaussian(2)
    objective = build(model, NearTarget(torch.ones(2)), group_size=4)
    first = objective(batch_at(0), 0)
    assert float(first.parts["clipped_share"]) == 0
    assert float(first.total.detach()) == pytest.approx(0, abs=1e-5)  # the mean advantage of a group
    with torch.no_grad():
        model.mean += 1
    second = objective(batch_at(0), 0)
    assert float(second.parts["clipped_share"]) > 0.5
    assert float(second.parts["reward"]) == float(first.parts["reward"])
    assert float(objective(batch_at(1), 1).parts["clipped_share"]) == 0


def test_given_frames_are_kept_and_do_not_count() -> None:
    model = Gaussian(2)

    class GivenFrame(NearTarget):
        def __call__(self, latents: Tensor, references: Tensor) -> Tensor:
            assert torch.equal(latents[:, :, 0], references[:, :, 0])
            assert not torch.equal(latents[:, :, 1], references[:, :, 1])
            return super().__call__(latents, references)

    objective = build(model, GivenFrame(torch.ones(2)), conditional_frames={1: 1.0}, group_size=2)
    clips = LatentBatch([0, 1], torch.full((2, 2, 2, 2, 2), 5.0), ["", ""])
    rollouts = objective._roll_out(clips)
    mean_square = torch.stack(rollouts.log_probs).mul(-2 / 8**0.5).mean()
    assert 0.5 < float(mean_square) < 1.5  # over the 8 latents of the generated frame
    objective(clips, 0).total.backward()
    assert model.mean.grad is not None


def test_advantages_are_relative_to_the_group() -> None:
    rewards = torch.tensor([[1.0, 3.0], [7.0, 7.0]])
    torch.testing.assert_close(
        group_advantages(rewards), torch.tensor([[-0.7071, 0.7071], [0.0, 0.0]]), atol=1e-4, rtol=0
    )
