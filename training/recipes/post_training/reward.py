"""The parts of a fine-tuning by a reward."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from training.model import ModelInfo
from training.objectives.denoising import Denoising
from training.objectives.group_policy import GroupPolicyOptimization, ScoreLatents
from training.recipes.config import TrainingConfig
from training.recipes.sampling import decode_frames, open_tokenizer
from training.recipes.sampling_steps import choose_steps
from training.rewards.registry import build_reward
from training.rewards.reward import Reward
from training.tensors import Latents
from training.tokenizer import Tokenizer


class LatentReward:
    """A reward of latents: it decodes them, on the CPU, and scores the videos.

    Args:
        reward: Scores videos.
        tokenizer: Decodes latents.
        statistics: By which the latents are normalized.
    """

    def __init__(self, reward: Reward, tokenizer: Tokenizer, statistics: Mapping[str, Any]) -> None:
        self.reward, self.tokenizer, self.statistics = reward, tokenizer, statistics

    @torch.no_grad()
    def __call__(self, latents: Latents, references: Latents) -> Tensor:
        """Scores [n] of latents [n c t h w]; `references` are the clips that their conditions are of."""
        videos = decode_frames(latents, self.tokenizer, self.statistics, together=True)
        known = None
        if self.reward.needs_references:
            known = decode_frames(references, self.tokenizer, self.statistics, together=True)
        return torch.from_numpy(self.reward(videos, known))


def open_reward(config: TrainingConfig, info: ModelInfo) -> LatentReward | None:
    """The reward of a training, with the tokenizer of its latents; None if it has none.

    Raises:
        CheckpointError: The tokenizer is not here, or it is another one.
    """
    if not config.reward:
        return None
    reward = build_reward(config.reward, config.reward_color, config.reward_goal)
    return LatentReward(reward, open_tokenizer("", info.latents), info.latent_statistics)


def fine_tune(denoising: Denoising, config: TrainingConfig, reward: ScoreLatents) -> GroupPolicyOptimization:
    """The objective of a fine-tuning by a reward, with the conditions of the denoising objective.

    Raises:
        SettingError: The path has not so many timesteps.
    """
    steps = choose_steps(
        denoising.path, {}, num_inference_steps=config.grpo_num_inference_steps, flow_shift=config.flow_shift
    )
    return GroupPolicyOptimization(
        **{each.name: getattr(denoising, each.name) for each in fields(denoising)},
        reward=reward,
        timesteps=steps.timesteps,
        group_size=config.grpo_group_size,
        eta=config.grpo_eta,
        train_timesteps=config.grpo_timesteps,
        clip_range=config.grpo_clip_range,
        denoising_weight=config.grpo_denoising_weight,
    )
