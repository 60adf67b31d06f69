"""Builds the parts of a training from its settings: network, layout on the ranks, optimizer, batches."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from training.data.batches import LatentBatch
from training.data.codes.paired_shards import code_spec_of
from training.data.shard import CodeSpec
from training.data.shards import LatentShards
from training.diffusion.denoiser import FrozenDenoiser
from training.errors import LayoutError, SettingError
from training.loop.lr_schedule import lr_schedule
from training.loop.optimization_step import OptimizationStep
from training.networks.config import VideoDiTConfig, is_condition_layer
from training.networks.lora import add_lora
from training.networks.registry import NetworkConfig, class_name, find_config
from training.networks.video_dit import VideoDiT
from training.objectives.uncertainty import UncertaintyHead
from training.parallel.context import ContextParallel
from training.parallel.mesh import Mesh
from training.parallel.sharding import apply_activation_checkpointing, apply_compile, apply_fsdp
from training.recipes.config import TrainingConfig
from training.recipes.initial_weights import InitialWeights
from training.recipes.objective import build_objective
from training.recipes.sampling import open_tokenizer
from training.settings.optimization import StepSettings
from training.settings.views import parse_view_neighbors
from training.text_encoder import TextEncoder
from training.tokenizers.causal import CausalTokenizer
from training.world_model import WorldModel

PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
}  # dense bf16 FLOP/s per device, as published


def choose_network(
    config: TrainingConfig,
    shards: LatentShards,
    initial: InitialWeights | None,
    residual_std: tuple[float, ...] = (),
) -> tuple[NetworkConfig, str]:
    """The config of the network, and the digest of its initial weights; "" if they are random.

    Args:
        config: The settings.
        shards: The clips.
        initial: The initial weights.
        residual_std: With `code_residual`, what `read_residual_std` returns.
    """
    codes = code_spec_of(shards)
    if initial is None:
        network = replace(find_config(config.model), channels=shards.spec.channels)
        if config.given_residual:
            network = replace(network, concat_last_given=True)
        network = read_codes(network, config, codes, residual_std) if codes else network
        return read_views(_with_conditions(network, config, shards), config), ""
    initial.check_latents(shards.spec, codes)
    is_residual = isinstance(initial.network, VideoDiTConfig) and bool(initial.network.code_residual_std)
    if codes and is_residual != config.code_residual:
        raise SettingError(
            f"code_residual is {config.code_residual}, but {is_residual} in the model of init_from",
            remedy=f"set code_residual={str(is_residual).lower()}",
        )
    if initial.network.concat_last_given != config.given_residual:
        raise SettingError(
            f"given_residual is {config.given_residual}, but {initial.network.concat_last_given} in the model"
            " of init_from",
            remedy="leave given_residual out",
        )
    initial.check_conditions(shards.condition_spec)
    network = _with_conditions(initial.network, config, shards)
    return read_views(network, config), initial.digest()


def _with_conditions(network: NetworkConfig, config: TrainingConfig, shards: LatentShards) -> NetworkConfig:
    """The config of a network that also reads the conditions of the shards."""
    spec = shards.condition_spec
    if spec is None:
        return network
    action_dim = len(spec.action.names) * shards.spec.stride[0] if spec.action else 0
    trajectory_dim = 3 * spec.trajectory.points if spec.trajectory else 0
    has_camera = spec.camera is not None
    return read_frame_conditions(network, config.camera_injection, action_dim, has_camera, trajectory_dim)


def read_frame_conditions(
    network: NetworkConfig,
    camera_injection: str,
    action_dim: int,
    has_camera: bool,
    trajectory_dim: int = 0,
) -> NetworkConfig:
    """The config of a network that also reads actions, a camera or a trajectory.

    Args:
        network: The config of the network.
        camera_injection: Where the rays of a camera enter it, as in the settings.
        action_dim: Numbers of all actions of a latent frame; 0: it reads no actions.
        has_camera: Whether it reads a camera.
        trajectory_dim: Numbers of a trajectory; 0: it reads none.

    Raises:
        SettingError: The network cannot, or it reads the camera elsewhere.
    """
    is_transformer = isinstance(network, VideoDiTConfig)
    if trajectory_dim and not is_transformer:
        raise SettingError(
            f"a {class_name(network)} cannot read a trajectory",
            remedy="choose a transformer, such as model=tiny, or leave trajectory out of conditions",
        )
    if has_camera and not is_transformer and camera_injection != "channels":
        raise SettingError(
            f"a {class_name(network)} reads a camera as channels of its input, not by {camera_injection}",
            remedy="set camera_injection=channels, or choose a transformer, such as model=tiny",
        )
    if has_camera and network.camera_injection not in (None, camera_injection):
        raise SettingError(
            f"camera_injection is {camera_injection}, but {network.camera_injection} in init_from",
            remedy="leave camera_injection out",
        )
    injection = camera_injection if has_camera else None
    if not isinstance(network, VideoDiTConfig):
        return replace(network, action_dim=action_dim, camera_injection=injection)
    return replace(network, action_dim=action_dim, camera_injection=injection, trajectory_dim=trajectory_dim)


def read_views(network: NetworkConfig, config: TrainingConfig) -> NetworkConfig:
    """The config of a network that denoises the views of several cameras, if the settings name several.

    Raises:
        SettingError: The network cannot, or it is one of other cameras, or a neighbor is none of them.
    """
    views = config.view_names if len(config.view_names) > 1 else ()
    known = network.views if isinstance(network, VideoDiTConfig) else ()
    if known and known != views:
        raise SettingError(
            f"the model of init_from has the cameras {', '.join(known)}, not {config.views or 'one camera'}",
            remedy=f"set views={','.join(known)}",
        )
    neighbors = parse_view_neighbors(config.view_neighbors, views)
    if not views:
        return network
    if not isinstance(network, VideoDiTConfig):
        raise SettingError(
            f"a {class_name(network)} cannot denoise the views of several cameras",
            remedy="choose a transformer, such as model=tiny, or one camera",
        )
    return replace(network, views=views, view_neighbors=neighbors)


def read_codes(
    network: NetworkConfig, config: TrainingConfig, codes: CodeSpec, residual_std: tuple[float, ...] = ()
) -> NetworkConfig:
    """The config of a network that also reads codes.

    Raises:
        SettingError: The network cannot.
        CheckpointError: The tokenizer of the codes, whose FSQ determines the initial embeddings, is not here.
    """
    if not isinstance(network, VideoDiTConfig):
        raise SettingError(
            f"model={config.model} cannot read codes", remedy="choose a transformer, such as model=tiny"
        )
    tokenizer = open_tokenizer(config.code_tokenizer, codes._asdict())
    fsq = tokenizer.fsq if isinstance(tokenizer, CausalTokenizer) else None
    return replace(
        network,
        code_channels=config.code_channels,
        codebook_size=codes.codebook_size,
        code_levels=fsq.levels if fsq else (),
        code_residual_std=residual_std,
    )


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
