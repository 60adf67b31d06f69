"""Loads pretrained weights of a Cosmos video transformer, from a file, a folder or the Hugging Face hub."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from training.adapters.diffusers_folder import CONFIG_FILE, from_diffusers_config
from training.adapters.layouts import Layout, check_names, find_layout, parameter_shapes
from training.adapters.released import infer_config, released_names, split_names
from training.adapters.weight_files import Weights, open_weights
from training.errors import CheckpointError
from training.networks.config import VideoDiTConfig, is_condition_layer
from training.networks.initialization import LocalPart
from training.networks.lora import is_adapter

_HUB_PATTERNS = ("config.json", "diffusion_pytorch_model*", "transformer/*")


@dataclass(frozen=True)
class PretrainedInfo:
    """Where pretrained weights come from.

    Attributes:
        path: The file or folder that was read.
        layout: Whose names it uses: diffusers, cosmos-predict1 or cosmos-predict2.
        uncertainty: Weights of the uncertainty head of the training, by name, if the file has them.
    """

    path: Path
    layout: str
    uncertainty: Mapping[str, Tensor] = field(default_factory=dict)


def load_pretrained(
    path: str | Path, config: VideoDiTConfig | None = None
) -> tuple[VideoDiTConfig, Weights, PretrainedInfo]:
    """Open pretrained weights.

    Args:
        path: A diffusers folder (of the transformer, or of a pipeline), a released .pt or .safetensors file,
            or a name on the Hugging Face hub: organization/name, organization/name@revision, or
            organization/name/file.
        config: The config of the network. None: that of config.json, or else of the published model that has
            these shapes.

    Returns:
        The config, the weights by the names of `VideoDiT` (each is read when it is looked up), and where they
        come from.

    Raises:
        CheckpointError: There are no weights, they are of another network, or names are missing or unknown.
    """
    place = Path(path)
    if not place.exists():
        place = download(str(path))
    if place.is_dir() and not (place / CONFIG_FILE).exists() and (place / "transformer").is_dir():
        place = place / "transformer"
    weights, where = open_weights(place), str(place)
    layout = find_layout((key.removeprefix("net.") for key in weights), where)
    keys, uncertainty = split_names(weights, layout, where)
    if config is None:
        config = _read_config(place, weights, layout, keys)
    names = released_names(config, layout)
    check_names(names.values(), keys, where)
    renamed = weights.rename({name: keys[key] for name, key in names.items()})
    _check_shapes(config, renamed, where)
    aside = {name: weights[key] for name, key in uncertainty.items()}
    return config, renamed, PretrainedInfo(place, layout.name, aside)


@torch.no_grad()
def load_weights(network: nn.Module, weights: Weights) -> None:
    """Copy weights into a network, one at a time; of a sharded parameter (DTensor) only this rank's part.

    Adapters (`training.networks.lora`) keep their values, and so do layers that read actions or a camera if
    there are no weights for them.

    Raises:
        CheckpointError: Names are missing or unknown, or shapes differ.
    """
    parameters = {
        name: p
        for name, p in network.named_parameters()
        if not is_adapter(name) and (name in weights or not is_condition_layer(name))
    }
    check_names(parameters, weights, "pretrained weights")
    for name, parameter in parameters.items():
        if weights.shape(name) != tuple(parameter.shape):
            raise CheckpointError(
                f"{name} has the shape {weights.shape(name)}, and the network {tuple(parameter.shape)}"
            )
        part = LocalPart.of(parameter)
        part.copy_from_rows(weights.rows(name, *part.rows))


def download(name: str, patterns: Sequence[str] = _HUB_PATTERNS) -> Path:
    """The local copy of weights on the Hugging Face hub; see `load_pretrained` for the form of the name.

    Args:
        name: The name.
        patterns: Which files of a repository are downloaded.

    Raises:
        CheckpointError: The name has another form, huggingface_hub is not installed, or the download failed.
    """
    name, _, revision = name.partition("@")
    parts = name.split("/")
    if len(parts) < 2 or not all(parts) or name.startswith("."):
        raise CheckpointError("there is no such file or folder", where=name)
    try:
        from huggingface_hub import hf_hub_download, snapshot_download
    except ImportError:
        raise CheckpointError(
            "there is no such file, and names on the Hugging Face hub need the package huggingface_hub",
            where=name,
            remedy="pip install huggingface_hub",
        ) from None
    repo = "/".join(parts[:2])
    try:
        if len(parts) > 2:
            return Path(hf_hub_download(repo, "/".join(parts[2:]), revision=revision or None))
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=list(patterns)))
    except Exception as error:
        message = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"there is no such file or folder, and the download failed: {message}", where=name
        ) from error


def _read_config(place: Path, weights: Weights, layout: Layout, keys: Mapping[str, str]) -> VideoDiTConfig:
    file = (place if place.is_dir() else place.parent) / CONFIG_FILE
    if layout.name != "diffusers" or not file.exists():
        return infer_config(weights, layout, keys, str(place))
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError("the config is not JSON", where=str(file)) from error
    return from_diffusers_config(values, str(file))


def _check_shapes(config: VideoDiTConfig, weights: Weights, where: str) -> None:
    for name, shape in parameter_shapes(config).items():
        if weights.shape(name) != shape:
            raise CheckpointError(
                f"{name} has the shape {weights.shape(name)}, and the config makes it {shape}", where=where
            )
