"""Folders of diffusers' CosmosTransformer3DModel: config.json, and weights in safetensors.

Settings of `VideoDiTConfig` that diffusers' class does not have are stored under "_clipmill", which diffusers
ignores. Where they are absent they have the values of the released models.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adapters.layouts import check_names, parameter_shapes
from training.adapters.safetensors_writer import write_safetensors
from training.adapters.weight_files import INDEX_SUFFIX, WEIGHTS_STEM, Weights
from training.errors import CheckpointError
from training.networks.config import PATCH_SIZE, VideoDiTConfig

CLASS_NAME = "CosmosTransformer3DModel"
CONFIG_FILE = "config.json"
_OWN = ("timestep_scale", "base_fps", "mask_text", "fp32_residual")
_SAME = (
    "num_attention_heads",
    "attention_head_dim",
    "num_layers",
    "adaln_lora_dim",
    "rope_scale",
    "max_size",
)
_FIXED = {"mlp_ratio": 4.0, "patch_size": list(PATCH_SIZE)}
_ABSENT = ("controlnet_block_every_n", "img_context_dim_in")  # inputs that VideoDiT does not have
# Defaults of the class in diffusers.
_DEFAULTS: dict[str, Any] = {
    "in_channels": 16,
    "out_channels": 16,
    "num_attention_heads": 32,
    "attention_head_dim": 128,
    "num_layers": 28,
    "mlp_ratio": 4.0,
    "text_embed_dim": 1024,
    "adaln_lora_dim": 256,
    "max_size": [128, 240, 240],
    "patch_size": [1, 2, 2],
    "rope_scale": [2.0, 1.0, 1.0],
    "concat_padding_mask": True,
    "extra_pos_embed_type": "learnable",
    "use_crossattn_projection": False,
    "crossattn_proj_in_channels": 1024,
    "encoder_hidden_states_channels": 1024,
}


def to_diffusers_config(config: VideoDiTConfig) -> dict[str, Any]:
    """The content of config.json."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    text_dim, projected_dim = config.text_embed_dim, config.crossattn_proj_in_channels
    return {
        "_class_name": CLASS_NAME,
        "_clipmill": {name: values[name] for name in _OWN},
        "in_channels": config.channels + config.concat_condition_mask,
        "out_channels": config.channels,
        "text_embed_dim": text_dim,
        "concat_padding_mask": config.concat_padding_mask,
        "extra_pos_embed_type": config.extra_pos_embed_type,
        "use_crossattn_projection": projected_dim is not None,
        "crossattn_proj_in_channels": projected_dim or text_dim,
        "encoder_hidden_states_channels": text_dim,
        **{name: values[name] for name in _SAME},
        **_FIXED,
    }


def from_diffusers_config(values: Mapping[str, Any], where: str) -> VideoDiTConfig:
    """The config of `VideoDiT`.

    Raises:
        CheckpointError: It is the config of another class, or of a variant that `VideoDiT` does not have.
    """
    if values.get("_class_name") != CLASS_NAME:
        raise CheckpointError(
            f"this is the config of {values.get('_class_name')}, not of {CLASS_NAME}", where=where
        )
    own = values.get("_clipmill", {})
    values = {**_DEFAULTS, **values}
    wrong = {name: values[name] for name, value in _FIXED.items() if values[name] != value}
    wrong |= {name: values[name] for name in _ABSENT if values.get(name)}
    extra_channels = values["in_channels"] - values["out_channels"]
    if extra_channels not in (0, 1):
        wrong["in_channels"] = values["in_channels"]
    if wrong:
        raise CheckpointError(f"VideoDiT does not have this variant: {wrong}", where=where)
    is_predict1 = values["extra_pos_embed_type"] is not None
    try:
        return VideoDiTConfig(
            channels=values["out_channels"],
            text_embed_dim=values["text_embed_dim"],
            concat_condition_mask=extra_channels == 1,
            concat_padding_mask=values["concat_padding_mask"],
            extra_pos_embed_type=values["extra_pos_embed_type"],
            crossattn_proj_in_channels=(
                values["crossattn_proj_in_channels"] if values["use_crossattn_projection"] else None
            ),
            **{name: values[name] for name in _SAME},
            **{
                "timestep_scale": 1.0,
                "base_fps": 24.0 if is_predict1 else None,
                "fp32_residual": values["use_crossattn_projection"],  # Predict2.5
            }
            | own,
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the config is invalid: {error}", where=where) from error


def save_diffusers(
    folder: Path,
    config: VideoDiTConfig,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 10 * 10**9,
) -> None:
    """Write a folder that diffusers' `CosmosTransformer3DModel.from_pretrained` reads.

    The weights are read and written one at a time. config.json is written last.

    Args:
        folder: Created if it does not exist.
        config: The config of the network.
        weights: All parameters of the network, by name; tensors on any device.
        dtype: Type of the written weights; None keeps theirs.
        max_shard_bytes: Size from which the weights are divided into several files.

    Raises:
        CheckpointError: Weights are missing or unknown.
    """
    shapes = parameter_shapes(config)
    check_names(shapes, weights, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    written: list[tuple[Path, list[str]]] = []
    total = 0
    weights = weights if isinstance(weights, Weights) else Weights(weights)
    for names in _shards(shapes, weights, dtype, max_shard_bytes):
        file = folder / f"{WEIGHTS_STEM}-{len(written) + 1:05d}.new"
        part = weights.rename(dict(zip(names, names, strict=True)))
        total += write_safetensors(file, part, {"format": "pt"}, dtype=dtype)
        written.append((file, names))
    for old in folder.glob(f"{WEIGHTS_STEM}*.safetensors*"):
        old.unlink()
    names = [f"{WEIGHTS_STEM}.safetensors"]
    if len(written) > 1:
        names = [f"{WEIGHTS_STEM}-{k + 1:05d}-of-{len(written):05d}.safetensors" for k in range(len(written))]
        weight_map = {key: name for name, (_, keys) in zip(names, written, strict=True) for key in keys}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_json(folder / f"{WEIGHTS_STEM}{INDEX_SUFFIX}", index)
    for name, (file, _) in zip(names, written, strict=True):
        file.rename(folder / name)
    _write_json(folder / CONFIG_FILE, to_diffusers_config(config))


def _shards(
    shapes: Mapping[str, tuple[int, ...]],
    weights: Weights,
    dtype: torch.dtype | None,
    max_shard_bytes: int,
) -> Iterator[list[str]]:
    """The weights in the order of the network, in groups of at most `max_shard_bytes`, or of one tensor."""
    group: list[str] = []
    size = 0
    for name, shape in shapes.items():
        if weights.shape(name) != shape:
            raise CheckpointError(f"{name} has the shape {weights.shape(name)}, and the network {shape}")
        num_bytes = math.prod(shape) * (dtype or weights.dtype(name)).itemsize
        if group and size + num_bytes > max_shard_bytes:
            yield group
            group, size = [], 0
        group.append(name)
        size += num_bytes
    yield group


def _write_json(file: Path, values: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
