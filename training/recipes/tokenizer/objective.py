"""Builds the optimization steps of the training of a tokenizer from its settings."""

from collections.abc import Callable
from pathlib import Path

import torch

from training.errors import SettingError
from training.loop.lr_schedule import lr_schedule
from training.loop.optimization_step import OptimizationStep
from training.objectives.adversarial import Adversarial
from training.objectives.perceptual import OpticalFlow, VGGFeatures, structural_distance
from training.objectives.reconstruction import (
    Distance,
    Reconstruction,
    difference_distance,
    l1_distance,
)
from training.recipes.tokenizer.config import TokenizerConfig
from training.recipes.tokenizer.network import TokenizerModel
from training.tokenizers.crops import CropBatch


def build_optimization_steps(
    config: TokenizerConfig, model: TokenizerModel, device: torch.device, precision: str
) -> list[OptimizationStep[CropBatch]]:
    """The step of the tokenizer, and in the adversarial stage that of the discriminator.

    Raises:
        CheckpointError: A file of weights is missing or of another network.
        SettingError: The learning rate decays before the warmup ends.
    """
    autocast = torch.bfloat16 if precision == "bf16" else None
    reconstruction = Reconstruction(
        model.tokenizer,
        build_distances(config, device),
        model.discriminator,
        config.adversarial_weight,
        config.adversarial_start,
        config.adaptive_weight,
        autocast,
    )
    betas = (0.5, 0.99) if model.discriminator is not None else (0.9, 0.99)
    optimizer = torch.optim.AdamW(
        model.tokenizer.parameters(), betas=betas, weight_decay=config.weight_decay, fused=True
    )
    steps = [OptimizationStep(reconstruction, optimizer, _build_lr(config, config.lr))]
    if model.discriminator is not None:
        adversarial = Adversarial(
            model.tokenizer,
            model.discriminator,
            config.r1_weight,
            config.r1_sigma,
            config.seed,
            autocast,
        )
        optimizer = torch.optim.AdamW(
            model.discriminator.parameters(), betas=betas, weight_decay=0.0, fused=True
        )
        lr = _build_lr(config, config.discriminator_lr)
        steps.append(
            OptimizationStep(
                adversarial, optimizer, lr, first_step=config.adversarial_start, name="discriminator"
            )
        )
    return steps


def build_distances(config: TokenizerConfig, device: torch.device) -> dict[str, tuple[float, Distance]]:
    """The (weight, distance) of each loss whose weight is above 0, by name.

    Raises:
        CheckpointError: A file of weights is missing or of another network.
        SettingError: All weights are 0.
    """
    vgg = VGGFeatures(Path(config.vgg_weights)).to(device) if config.vgg_weights else None
    raft = OpticalFlow(Path(config.raft_weights)).to(device) if config.raft_weights else None
    distances: dict[str, tuple[float, Distance]] = {
        "l1": (config.l1_weight, l1_distance),
        "difference": (config.difference_weight, difference_distance),
    }
    if vgg is None:
        distances["structural"] = (config.perceptual_weight, structural_distance)
    else:
        distances["perceptual"] = (config.perceptual_weight, vgg.perceptual_distance)
        distances["gram"] = (config.gram_weight, vgg.gram_distance)
    if raft is not None:
        distances["flow"] = (config.flow_weight, raft.flow_distance)
    used = {name: pair for name, pair in distances.items() if pair[0]}
    if not used:
        raise SettingError("all weights of losses are 0", remedy="set l1_weight above 0")
    return used


def _build_lr(config: TokenizerConfig, peak: float) -> Callable[[int], float]:
    try:
        return lr_schedule(
            peak, warmup_steps=config.warmup_steps, decay=config.lr_schedule, total_steps=config.steps
        )
    except ValueError as error:
        raise SettingError(str(error)) from error
