"""Reward fine-tuning: group relative policy optimization (GRPO) of the steps of a sampler."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from training.diffusion.conditioning import Conditioning
from training.noise import uniform
from training.objective import Loss
from training.objectives.denoising import Denoising, LatentBatch, mean_of_generated
from training.tensors import Latents

MAX_ADVANTAGE = 5.0  # standard deviations of the group
_MIN_STD = 1e-6  # of the rewards of a group; below it they are equal


class ScoreLatents(Protocol):
    """Scores latents [n c t h w], given the clips [n c t h w] that their conditions are of."""

    def __call__(self, latents: Latents, references: Latents) -> Tensor:
        """The scores [n]; higher is better."""
        ...


class Rollouts(NamedTuple):
    """Sampled trajectories of all clips of a batch, n = clips x group size.

    Attributes:
        conditioning: That of each rollout.
        states: The state at each timestep, [n c t h w] each.
        log_probs: Of each step of the sampler, the scaled logarithm of the density of its result, [n].
        advantages: Of each rollout, [n].
        rewards: Of each rollout, [clips group].
    """

    conditioning: Conditioning
    states: list[Latents]
    log_probs: list[Tensor]
    advantages: Tensor
    rewards: Tensor


@dataclass(frozen=True, kw_only=True)
class GroupPolicyOptimization(Denoising):
    """The sampler as a policy that learns from a reward, with the denoising loss as a second term.

    For each clip, `group_size` videos are sampled from its conditions with the current weights, by DDIM with
    new noise of standard deviation s at each step: a normal policy whose mean the network determines. The
    advantage of a video is its reward minus the mean of its group, divided by the standard deviation. At some
    steps of the sampler, the clipped surrogate -min(r A, clip(r, 1 - clip_range, 1 + clip_range) A) is
    minimized, where r is the ratio of the densities of the step under the weights that are trained and under
    those that sampled it. The logarithm of a density is the sum over the d generated latents
    divided by sqrt(d): a shift of the mean by a share e of s at each latent changes it by about e, whatever
    d is. So one `clip_range` fits latents of any size. The sources take the sum, or the mean. The reward
    needs no gradient.

    `updates` calls with the same batch and step train on one set of videos, at other steps of the sampler
    each time. The weighted denoising loss of the clips keeps the model near its data.

    Source: Liu et al. 2025 (Flow-GRPO), arXiv:2505.05470, Eq. 4 to 6 and 8; Xue et al. 2025 (DanceGRPO),
    arXiv:2505.07818. The noise of each step is that of Song et al. 2020, arXiv:2010.02502, Eq. 16, which
    keeps the distribution of the path at every timestep. The denoising loss as a regularizer:
    Cosmos-Predict2.5.

    `Loss.parts` has "reward" (mean), "reward_std" (in a group), "policy_loss" and "clipped_share" of ratios.

    Attributes:
        reward: Scores the sampled latents.
        timesteps: Falling timesteps of the sampler [n + 1], float64, from `t_max` to 0.
        group_size: Videos for each clip.
        eta: Share of the noise of a step that is new, above 0 to 1. 1 is DDPM.
        train_timesteps: Steps of the sampler that each call trains on.
        clip_range: Half the width of the range of the ratio in which it has a gradient.
        denoising_weight: Weight of the denoising loss; 0 leaves it out.
    """

    reward: ScoreLatents
    timesteps: Tensor
    group_size: int = 8
    eta: float = 0.7
    train_timesteps: int = 2
    clip_range: float = 0.1
    denoising_weight: float = 0.05
    _rollouts: dict[tuple[int, ...], tuple[Rollouts, int]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __call__(self, batch: LatentBatch, step: int) -> Loss:
        key = (step, *batch.positions)
        if any(other[0] != step for other in self._rollouts):
            self._rollouts.clear()
        rollouts, calls = self._rollouts.get(key) or (self._roll_out(batch), 0)
        self._rollouts[key] = rollouts, calls + 1
        policy_loss, clipped = self._policy_loss(rollouts, self._choose_steps(step, calls))
        parts = {
            "reward": rollouts.rewards.mean(),
            "reward_std": rollouts.rewards.std(1).mean(),
            "policy_loss": policy_loss.detach(),
            "clipped_share": clipped,
        }
        if not self.denoising_weight:
            return Loss(self.loss_scale * policy_loss, parts)
        denoising = super().__call__(batch, step)
        total = self.loss_scale * policy_loss + self.denoising_weight * denoising.total
        return Loss(total, {**denoising.parts, **parts}, denoising.groups)

    def _choose_steps(self, step: int, calls: int) -> list[int]:
        """Random steps of the sampler, the same on all ranks. Calls of one step have different ones.

        The last step adds no noise, so it has no density.
        """
        count = len(self.timesteps) - 2
        order = uniform(self.seed, "policy steps", [step], [count])[0].argsort().tolist()
        return [order[(calls * self.train_timesteps + n) % count] for n in range(self.train_timesteps)]

    @torch.no_grad()
    def _conditioning(self, batch: LatentBatch) -> Conditioning:
        """The text encoder is not trained."""
        return super()._conditioning(batch)

    @torch.no_grad()
    def _roll_out(self, batch: LatentBatch) -> Rollouts:
        clean = batch.latents.repeat_interleave(self.group_size, 0)
        conditioning = self._conditioning(batch).map(lambda each: each.repeat_interleave(self.group_size, 0))
        x = self._draw("rollout", batch) * float(self.path.sigma(self.timesteps[:1]))
        states, log_probs = [x], []
        for number in range(len(self.timesteps) - 1):
            mean, std = self._step(x, number, conditioning)
            x = mean
            if std > 0:
                noise = self._draw(f"rollout step {number}", batch)
                x = mean + std * noise
                log_probs.append(scaled_log_prob(noise, conditioning.condition_mask))
            states.append(x)
        if (mask := conditioning.condition_mask) is not None:
            x = torch.where(mask.bool(), clean.to(x), x)
        rewards = self.reward(x, clean).to(x).view(-1, self.group_size)
        return Rollouts(conditioning, states, log_probs, group_advantages(rewards).flatten(), rewards)

    def _draw(self, purpose: str, batch: LatentBatch) -> Tensor:
        """Normal numbers for each rollout, [n c t h w]; those of a clip follow each other."""
        shape = (self.group_size, *batch.latents.shape[1:])
        device = batch.latents.device
        return self.draw_normal(self.seed, purpose, batch.positions, shape, device=device).flatten(0, 1)

    def _step(self, x: Latents, number: int, conditioning: Conditioning) -> tuple[Latents, float]:
        """The mean and the standard deviation of the state after a step of DDIM."""
        t = self.timesteps[number : number + 2]
        (alpha, alpha_next), (sigma, sigma_next) = self.path.alpha(t).tolist(), self.path.sigma(t).tolist()
        kept = alpha * sigma_next / (alpha_next * sigma)  # 0 if the state is pure noise
        std = self.eta * sigma_next * (1 - kept**2) ** 0.5
        clean = self.denoiser(x, t[0].to(x).expand(len(x)), conditioning)
        noise = (x - alpha * clean) / sigma
        return alpha_next * clean + (sigma_next**2 - std**2) ** 0.5 * noise, std

    def _policy_loss(self, rollouts: Rollouts, steps: list[int]) -> tuple[Tensor, Tensor]:
        """The clipped surrogate over the rollouts and steps, and the share of ratios that are clipped."""
        losses, clipped = [], []
        for number in steps:
            mean, std = self._step(rollouts.states[number], number, rollouts.conditioning)
            residual = (rollouts.states[number + 1] - mean) / std
            mask = rollouts.conditioning.condition_mask
            ratio = torch.exp(scaled_log_prob(residual, mask) - rollouts.log_probs[number])
            limited = ratio.clamp(1 - self.clip_range, 1 + self.clip_range)
            losses.append(-torch.minimum(ratio * rollouts.advantages, limited * rollouts.advantages))
            clipped.append((ratio != limited).float().mean().detach())
        return torch.stack(losses).mean(), torch.stack(clipped).mean()


def scaled_log_prob(residual: Tensor, condition_mask: Tensor | None) -> Tensor:
    """-sum(residual^2) / (2 sqrt(d)) over the d latents of each clip that are not given, [n].

    Args:
        residual: (state - mean) / std, [n c t h w].
        condition_mask: 1 for given latents, [n 1 t h w]; None: there are none.
    """
    count = torch.full((len(residual),), float(residual[0].numel()), device=residual.device)
    if condition_mask is not None:
        count = (1 - condition_mask).expand_as(residual).flatten(1).sum(1)
    return -mean_of_generated(residual.square(), condition_mask) * count.sqrt() / 2


def group_advantages(rewards: Tensor) -> Tensor:
    """(reward - mean) / std in each group [clips group], limited to `MAX_ADVANTAGE`; 0 if all are equal.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2.
    """
    std = rewards.std(1, keepdim=True)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / std.clamp(min=_MIN_STD)
    return torch.where(std > _MIN_STD, advantages, 0).clamp(-MAX_ADVANTAGE, MAX_ADVANTAGE)
