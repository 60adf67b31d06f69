"""Builds the parts of a training from its settings: model, layout on the ranks, optimizer, schedule."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from training.data.batches import LatentBatch
from training.diffusion.denoiser import FrozenDenoiser
from training.errors import LayoutError, SettingError
from training.loop.lr_schedule import lr_schedule
from training.loop.optimization_step import OptimizationStep
from training.networks.config import is_condition_layer
from training.networks.lora import add_lora
from training.networks.registry import NetworkConfig
from training.networks.video_dit import VideoDiT
from training.objectives.uncertainty import UncertaintyHead
from training.parallel.context import ContextParallel
from training.parallel.mesh import Mesh
from training.parallel.sharding import apply_activation_checkpointing, apply_compile, apply_fsdp
from training.recipes.config import TrainingConfig
from training.recipes.initial_weights import InitialWeights
from training.recipes.objective import build_objective
from training.settings.optimization import StepSettings
from training.text_encoder import TextEncoder
from training.world_model import WorldModel

PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
}  # dense bf16 FLOP/s per device, as published


def build_model(config: TrainingConfig, network: NetworkConfig) -> WorldModel:
    """Build the model on the meta device, where it has no values; `parallelize` gives it weights."""
    with torch.device("meta"):
        model = WorldModel(network, config.diffusion, config.text_encoder)
        model.uncertainty = UncertaintyHead() if config.uncertainty else None
    if config.lora_rank:
        alpha = config.lora_alpha or config.lora_rank
        add_lora(model.network, config.lora_rank, alpha, config.lora_target_modules)
    return model


def parallelize(model: WorldModel, mesh: Mesh, config: TrainingConfig, precision: str) -> None:
    """Distribute the model over the mesh, in place, with new weights that depend only on the seed.

    Each rank draws only its part of the weights.

    Raises:
        LayoutError: The tokens of this network cannot be shared by several ranks.
    """
    network = model.network
    blocks: list[nn.Module] = list(network.transformer_blocks)
    if mesh.dims.context_parallel > 1:
        if not isinstance(network, VideoDiT):
            raise LayoutError(
                f"a network of the class {type(network).__name__} cannot share the tokens of a clip",
                remedy="set context_parallel to 1",
            )
        network.share_tokens = ContextParallel(mesh.context_group, config.context_parallel_method)
    apply_activation_checkpointing(blocks, config.activation_checkpointing)
    if config.compile:
        apply_compile(blocks)
    apply_fsdp(network, blocks, mesh, precision)
    if model.text_encoder is not None:
        apply_fsdp(model.text_encoder, [], mesh, precision)
    if model.uncertainty is not None:
        apply_fsdp(model.uncertainty, [], mesh, "fp32")
    model.to_empty(device=mesh.device)
    model.reset_parameters(config.seed)


def load_initial(
    model: WorldModel, initial: InitialWeights | None, config: TrainingConfig, mesh: Mesh, precision: str
) -> None:
    """Load the initial weights into a model that is distributed; in a distillation also into its teacher.

    Raises:
        CheckpointError: Names are missing or unknown, or shapes differ.
    """
    if initial is None:
        return
    initial.load(model)
    if config.distillation:
        teacher = build_model(replace(config, uncertainty=False), model.network.config)
        parallelize(teacher, mesh, config, precision)
        initial.load(teacher)
        model.teacher = FrozenDenoiser(teacher.eval().requires_grad_(False).denoiser)


def peak_flops(device: torch.device) -> float:
    """Peak bf16 FLOP/s of one device; 0 if unknown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for known, peak in PEAK_FLOPS.items() if known in name), 0.0)


def build_optimization_step(
    config: TrainingConfig, model: WorldModel, encoder: TextEncoder | None, mesh: Mesh
) -> OptimizationStep[LatentBatch]:
    """AdamW on the denoising objective, with the learning rates of the settings."""
    trained = trained_parameters(config, model)
    groups: list[dict[str, Any]] = [{"params": [parameter for _, parameter in trained]}]
    if config.condition_lr_scale != 1 and any(is_condition_layer(name) for name, _ in trained):
        new = [parameter for name, parameter in trained if is_condition_layer(name)]
        rest = [parameter for name, parameter in trained if not is_condition_layer(name)]
        groups = [{"params": rest, "lr_scale": 1.0}, {"params": new, "lr_scale": config.condition_lr_scale}]
    optimizer = torch.optim.AdamW(
        groups,
        lr=config.lr,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=True,
    )
    objective = build_objective(config, model, encoder, mesh)
    updates = config.grpo_updates if config.reward else 1
    return OptimizationStep(objective, optimizer, build_lr(config), updates=updates)


def trained_parameters(config: TrainingConfig, model: WorldModel) -> list[tuple[str, nn.Parameter]]:
    """The parameters that a training changes, by name. Post-training does not change the text encoder."""
    is_text_fixed = bool(config.distillation or config.reward)
    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not (is_text_fixed and name.startswith("text_encoder."))
    ]


def build_lr(config: StepSettings, first_step: int = 0) -> Callable[[int], float]:
    """The learning rate as a function of the step, for settings that take effect at `first_step`.

    Raises:
        SettingError: The learning rate decays before the warmup ends.
    """
    try:
        lr = lr_schedule(
            config.lr, warmup_steps=config.warmup_steps, decay=config.lr_schedule, total_steps=config.steps
        )
    except ValueError as error:
        raise SettingError(str(error)) from error
    return lambda step: lr(step - first_step)
