"""Files of the released Cosmos-Predict models: names of weights, and the config from their shapes."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from training.adapters.layouts import IGNORED, LAYOUTS, UNCERTAINTY, Layout, check_names, parameter_shapes
from training.adapters.weight_files import Weights
from training.errors import CheckpointError
from training.networks.config import MODEL_CONFIGS, PATCH_SIZE, VideoDiTConfig

# Settings that the shapes of weights do not show.
_NOT_IN_SHAPES = ("rope_scale", "timestep_scale", "base_fps", "mask_text", "fp32_residual")


def split_names(keys: Iterable[str], layout: Layout, where: str) -> tuple[dict[str, str], dict[str, str]]:
    """The names of a file by name without prefix: of the network, and of the uncertainty head.

    Raises:
        CheckpointError: Two names differ only in the prefix.
    """
    names: dict[str, str] = {}
    for key in keys:
        name = key.removeprefix(layout.prefix)
        if name in names:
            raise CheckpointError(f"the weights contain both {name} and {layout.prefix}{name}", where=where)
        names[name] = key
    uncertainty = {name: key for name, key in names.items() if UNCERTAINTY.fullmatch(name)}
    network = {name: key for name, key in names.items() if not IGNORED.fullmatch(name)}
    return {name: key for name, key in network.items() if name not in uncertainty}, uncertainty


def infer_config(weights: Weights, layout: Layout, keys: Mapping[str, str], where: str) -> VideoDiTConfig:
    """The config that the shapes of weights show, completed from the published model of these shapes.

    Args:
        weights: The weights of the file.
        layout: The layout of their names.
        keys: For each name without prefix, the name in the file.
        where: The file, for messages.

    Raises:
        CheckpointError: A shape is missing, or no published model has these shapes.
    """

    def shape(name: str) -> tuple[int, ...]:
        renamed = layout.rename(name)
        if renamed not in keys:
            raise CheckpointError(f"the weights do not fit the network; missing: {renamed}", where=where)
        return weights.shape(keys[renamed])

    def has(name: str) -> bool:
        return layout.rename(name) in keys

    patch = PATCH_SIZE[0] * PATCH_SIZE[1] * PATCH_SIZE[2]
    width, patch_values = shape("patch_embed.proj.weight")
    (head_dim,) = shape("transformer_blocks.0.attn1.norm_q.weight")
    channels = shape("proj_out.weight")[0] // patch
    masks = patch_values // patch - channels
    layers = 1
    while has(f"transformer_blocks.{layers}.attn1.to_q.weight"):
        layers += 1
    config = VideoDiTConfig(
        num_attention_heads=width // head_dim,
        attention_head_dim=head_dim,
        num_layers=layers,
        channels=channels,
        text_embed_dim=shape("transformer_blocks.0.attn2.to_k.weight")[1],
        adaln_lora_dim=shape("transformer_blocks.0.norm1.linear_1.weight")[0],
        concat_padding_mask=masks >= 1,
        concat_condition_mask=masks == 2,
    )
    if has("crossattn_proj.0.weight"):
        config = replace(config, crossattn_proj_in_channels=shape("crossattn_proj.0.weight")[1])
    if has("learnable_pos_embed.pos_emb_t"):
        tables = [shape(f"learnable_pos_embed.pos_emb_{axis}")[0] for axis in "thw"]
        t, h, w = (size * factor for size, factor in zip(tables, PATCH_SIZE, strict=True))
        config = replace(config, extra_pos_embed_type="learnable", max_size=(t, h, w))
    return _complete(config, where)


def _complete(config: VideoDiTConfig, where: str) -> VideoDiTConfig:
    shapes = {name: value for name, value in asdict(config).items() if name not in _NOT_IN_SHAPES}
    for published in MODEL_CONFIGS.values():
        if shapes.items() <= asdict(published).items() and published.timestep_scale == 1:
            return published
    raise CheckpointError(
        "no published model has the shapes of these weights, so the scale of the rotary positions is unknown",
        where=where,
        remedy="pass the config of the network",
    )


def released_names(config: VideoDiTConfig, layout: Layout) -> dict[str, str]:
    """For each parameter of the network, its name in a layout, without the prefix."""
    return {name: layout.rename(name) for name in parameter_shapes(config)}


def save_released(
    file: Path,
    layout: str,
    config: VideoDiTConfig,
    weights: Mapping[str, Tensor],
    uncertainty: Mapping[str, Tensor] | None = None,
) -> None:
    """Write weights under the names that the code of the released models reads.

    Args:
        file: A name that ends in .pt or .safetensors.
        layout: cosmos-predict1 or cosmos-predict2 (which is that of Cosmos-Predict2.5 too).
        config: The config of the network.
        weights: All parameters of the network, by name.
        uncertainty: Weights of the uncertainty head (`PretrainedInfo.uncertainty`).

    Raises:
        CheckpointError: The layout is unknown, or weights are missing or unknown.
    """
    if layout not in LAYOUTS:
        raise CheckpointError(f"there is no layout {layout!r}", remedy=f"choose one of {', '.join(LAYOUTS)}")
    names = released_names(config, LAYOUTS[layout])
    check_names(names, weights, str(file))
    prefix = LAYOUTS[layout].prefix
    tensors = {prefix + names[name]: weights[name].detach().cpu().contiguous() for name in names}
    tensors |= {
        prefix + name: value.detach().cpu().contiguous() for name, value in (uncertainty or {}).items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".new")
    if file.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, temporary)
    else:
        torch.save(tensors, temporary)
    temporary.chmod(0o644)
    temporary.rename(file)
