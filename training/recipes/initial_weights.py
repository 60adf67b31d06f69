"""Weights that a training starts from: of a Cosmos model, or of a model that Clipmill trained.

A training that resumes has its weights in its checkpoint, and does not read them again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from training.adapters.diffusers_folder import CONFIG_FILE
from training.adapters.pretrained import load_pretrained, load_weights
from training.adapters.weight_files import Weights, open_weights
from training.data.shard import LatentSpec
from training.errors import LatentMismatchError, SettingError
from training.loop.checkpoint import RECORD_FILE
from training.model import METADATA_KEY, MODEL_FILE, ModelInfo, read_model_info
from training.networks.config import VideoDiTConfig
from training.networks.registry import NetworkConfig
from training.world_model import WorldModel

EXPORT_KEY = "_clipmill_export"  # in config.json of a diffusers folder that Clipmill wrote
_DIFFUSION = ("path", "preconditioning", "sigma_data", "latent_scale")


@dataclass(frozen=True)
class InitialWeights:
    """Weights that a training starts from.

    Attributes:
        network: The config of the network.
        defaults: Settings that fit the weights.
        weights: The weights by the names of `WorldModel`. None: the training resumes.
        recorded_digest: The digest that the checkpoint of a training records that resumes.
        tokenizer_digest: Digest of the tokenizer of the latents, if it is known.
    """

    network: NetworkConfig
    defaults: Mapping[str, Any]
    weights: Weights | None
    recorded_digest: str = ""
    tokenizer_digest: str = ""

    def check_latents(self, spec: LatentSpec) -> None:
        """Check that the latents are of the kind that the weights were trained on.

        Raises:
            LatentMismatchError: They have other channels, or are known to be of another tokenizer.
        """
        if spec.channels != self.network.channels:
            raise LatentMismatchError(
                f"the latents have {spec.channels} channels, but the network of init_from"
                f" has {self.network.channels}",
                remedy="make the latents with the tokenizer of that model",
            )
        if self.tokenizer_digest not in ("", spec.digest):
            raise LatentMismatchError(
                f"the latents are of the tokenizer with digest {spec.digest[:12]}, but the model of init_from"
                f" was trained with {self.tokenizer_digest[:12]}",
                remedy="make the latents with the tokenizer of that model",
            )

    def load(self, model: WorldModel) -> None:
        """Copy the weights into a model that may be sharded. A resumed training copies none.

        The text encoder of the model keeps its own weights if there are none for it.

        Raises:
            CheckpointError: Names are missing or unknown, or shapes differ.
        """
        if self.weights is None:
            return
        for part, module in (("network", model.network), ("text_encoder", model.text_encoder)):
            names = {
                name.removeprefix(f"{part}."): name for name in self.weights if name.startswith(f"{part}.")
            }
            if module is not None and names:
                load_weights(module, self.weights.rename(names))

    def digest(self) -> str:
        """SHA-256 of all names, types, shapes and values. The first rank computes it for all ranks."""
        digests = [self.recorded_digest]
        if self.weights is not None:
            digests = [_digest(self.weights) if dist.get_rank() == 0 else ""]
            dist.broadcast_object_list(digests)
        return digests[0]


def open_initial_weights(settings: Mapping[str, Any], work: Path) -> InitialWeights | None:
    """The weights that the settings name as `init_from`. None if they name none.

    Args:
        settings: Fields of `TrainingConfig`.
        work: Folder of the training. If it has a checkpoint that began with the same `init_from`, the config
            comes from there.

    Raises:
        SettingError: The settings also name a model, or no text encoder for weights that come without one.
        CheckpointError: There are no weights, or they are of another network.
    """
    name = settings.get("init_from")
    if not name:
        return None
    if "model" in settings:
        raise SettingError(
            f"init_from determines the network, and so does model={settings['model']}",
            remedy="leave model or init_from out",
        )
    initial = _recorded(name, work) or _open(Path(name))
    if "text_encoder" not in {**initial.defaults, **settings}:
        raise SettingError(
            "the weights of init_from come without a text encoder",
            remedy="set text_encoder to the folder or hub name of the encoder that they were trained with,"
            " to byte_level (new, trained with the model) or to none",
        )
    return initial


def _recorded(name: str, work: Path) -> InitialWeights | None:
    """The initial weights that the latest checkpoint records, if they have this name."""
    folder = work / "checkpoints"
    try:
        latest = (folder / "latest").read_text()
        record = json.loads((folder / latest / RECORD_FILE).read_text())
        metadata, digest = record["metadata"]["model"], record["identity"]["init_digest"]
    except (FileNotFoundError, KeyError, ValueError):
        return None
    if metadata["training"].get("init_from") != name:
        return None
    info = ModelInfo.from_json(metadata)
    return InitialWeights(info.network, _defaults(info), None, recorded_digest=digest)


def _open(path: Path) -> InitialWeights:
    file = path / MODEL_FILE if path.is_dir() else path
    if _is_model_file(file):
        info = read_model_info(file)
        return InitialWeights(
            info.network, _defaults(info), open_weights(file), tokenizer_digest=info.latents["digest"]
        )
    network, weights, pretrained = load_pretrained(str(path))
    return InitialWeights(
        network,
        _exported_diffusion(pretrained.path) or family_diffusion(network),
        weights.rename({f"network.{name}": name for name in weights}),
    )


def family_diffusion(network: VideoDiTConfig) -> dict[str, Any]:
    """The diffusion process of the Cosmos model whose network has this config, as settings."""
    if network.extra_pos_embed_type is not None or network.base_fps is not None:
        return {"path": "edm", "preconditioning": "edm", "latent_scale": 0.5}  # Cosmos-Predict1
    if network.crossattn_proj_in_channels is not None:
        return {"path": "rectified_flow", "preconditioning": "velocity"}  # Cosmos-Predict2.5
    return {"path": "edm", "preconditioning": "scaled_velocity"}  # Cosmos-Predict2


def _defaults(info: ModelInfo) -> dict[str, Any]:
    diffusion = asdict(info.diffusion)
    return {name: diffusion[name] for name in _DIFFUSION} | {"text_encoder": info.text_encoder["name"]}


def _exported_diffusion(place: Path) -> dict[str, Any]:
    """The diffusion process that a diffusers folder written by Clipmill states, as settings."""
    file = place / CONFIG_FILE
    stated = json.loads(file.read_text()).get(EXPORT_KEY) if file.is_file() else None
    return {name: stated["diffusion"][name] for name in _DIFFUSION} if stated else {}


def _is_model_file(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors" or not file.is_file():
        return False
    try:
        opened: Any = safe_open(file, framework="pt")
        return METADATA_KEY in (opened.metadata() or {})
    except SafetensorError:
        return False


def _digest(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
