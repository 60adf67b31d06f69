"""Loads and writes folders of diffusers' AutoencoderKLCosmos.

The names and shapes of the weights are those of `CosmosTokenizer`. "latents_mean" and "latents_std" of
config.json are lists of a value per channel and latent frame, in this order. They become `latent_mean` and
`latent_std`: (z - mean) / std, as in diffusers' pipelines of Cosmos, which then multiply by the sigma_data of
their scheduler. Here the trainer does this. The pipelines do not apply "scaling_factor".
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adapters.weight_files import WEIGHTS_STEM, open_weights
from training.errors import CheckpointError
from training.tokenizers.cosmos.config import CONFIGS, CosmosTokenizerConfig
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.diffusers_folder import CONFIG_FILE, COSMOS
from training.tokenizers.weights import check_keys

_SAME = (
    "latent_channels",
    "encoder_block_out_channels",
    "decode_block_out_channels",
    "num_layers",
    "patch_size",
    "spatial_compression_ratio",
    "temporal_compression_ratio",
)
_FIXED = {"in_channels": 3, "out_channels": 3, "patch_type": "haar"}
_STATISTICS = ("latents_mean", "latents_std")
# What diffusers' class has besides. Its defaults put no attention into the blocks; others show in the keys.
_IGNORED = {"attention_resolutions", "resolution", "scaling_factor"}


def load_cosmos(folder: Path, values: Mapping[str, Any], digest: str) -> CosmosTokenizer:
    """Load a folder for inference, in float32, on the CPU.

    Temporal attention sees the window of the published network with this stride; see
    `CosmosTokenizerConfig`. Up to that length the latents are diffusers'.

    Args:
        folder: Contains the weights.
        values: The content of config.json.
        digest: Identifies weights and architecture.

    Raises:
        CheckpointError: The config is of a variant that `CosmosTokenizer` does not have, or weights are
            missing, unknown or of another shape.
    """
    where = str(folder / CONFIG_FILE)
    config = _read_config(values, where)
    mean, std = (_read_statistics(values, name, config.latent_channels, where) for name in _STATISTICS)
    if mean.shape != std.shape:
        raise CheckpointError("latents_mean and latents_std have different lengths", where=where)
    weights = {**open_weights(folder), "latent_mean": mean, "latent_std": std}
    with torch.device("meta"):
        tokenizer = CosmosTokenizer(config, digest, mean.shape[1])
    check_keys(tokenizer.state_dict(), weights, str(folder))
    tokenizer.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    return tokenizer.eval().requires_grad_(False)


def save_cosmos(tokenizer: CosmosTokenizer, folder: Path) -> None:
    """Write a folder that diffusers' `AutoencoderKLCosmos.from_pretrained` reads, in float32.

    The window of temporal attention is stored under "_clipmill", which diffusers ignores: it attends to all
    frames before.

    Raises:
        CheckpointError: The tokenizer is discrete, or has other channels before the latents.
    """
    from safetensors.torch import save_file

    config = tokenizer.config
    if config.levels or config.z_channels not in (None, config.latent_channels):
        raise CheckpointError(f"{COSMOS} of diffusers has no quantization", where=str(folder))
    state = tokenizer.state_dict()
    mean, std = (state.pop(name).flatten().tolist() for name in ("latent_mean", "latent_std"))
    values = {
        "_class_name": COSMOS,
        "_clipmill": {"temporal_attention_window": config.temporal_attention_window},
        **{name: getattr(config, name) for name in _SAME},
        **_FIXED,
        "scaling_factor": 1.0,
        "latents_mean": mean,
        "latents_std": std,
    }
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: weight.detach().to("cpu", torch.float32).contiguous() for name, weight in state.items()}
    save_file(tensors, folder / f"{WEIGHTS_STEM}.safetensors", metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _read_config(values: Mapping[str, Any], where: str) -> CosmosTokenizerConfig:
    known = {*_SAME, *_FIXED, *_STATISTICS, *_IGNORED}
    wrong = {name for name, value in _FIXED.items() if values.get(name, value) != value}
    wrong |= {name for name in values if not name.startswith("_")} - known
    if wrong:
        variant = ", ".join(f"{name}={values[name]}" for name in sorted(wrong))
        raise CheckpointError(f"CosmosTokenizer does not have this variant: {variant}", where=where)
    own = {name: values[name] for name in _SAME if name in values}
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    try:
        config = CosmosTokenizerConfig(**own)
        windows = {each.stride: each.temporal_attention_window for each in CONFIGS.values()}
        window = {"temporal_attention_window": windows.get(config.stride)}
        return replace(config, **window | values.get("_clipmill", {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the config is invalid: {error}", where=where) from error


def _read_statistics(values: Mapping[str, Any], name: str, channels: int, where: str) -> Tensor:
    """The mean or standard deviation of each channel and latent frame, [c n]; 0 or 1 if config.json has null.

    A config of an older diffusers does not have the values; they are then the defaults of the class.
    """
    if name not in values:
        try:
            from diffusers import AutoencoderKLCosmos
        except ImportError as error:
            raise CheckpointError(
                f"the config has no {name}, and diffusers, which has its default, is not installed",
                where=where,
                remedy="pip install diffusers",
            ) from error
        stored = inspect.signature(AutoencoderKLCosmos.__init__).parameters[name].default
    else:
        stored = values[name]
    if stored is None:
        return torch.full((channels, 1), 0.0 if name == "latents_mean" else 1.0)
    statistics = torch.tensor(stored, dtype=torch.float32)
    if statistics.dim() != 1 or not len(statistics) or len(statistics) % channels:
        raise CheckpointError(f"{name} is no list of values for each of {channels} channels", where=where)
    return statistics.view(channels, -1)
