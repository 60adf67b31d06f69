"""Weights that a training starts from: of a Cosmos model, or of a model that Clipmill trained.

A resume has them in its checkpoint. Of adapters (LoRA), frozen weights are read again, by their digest.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from training.adapters.diffusers_folder import CONFIG_FILE
from training.adapters.families import DIFFUSION_SETTINGS, TRAINING_SETTINGS, find_family
from training.adapters.pretrained import load_pretrained, load_weights
from training.adapters.weight_files import Weights, open_weights
from training.conditions.spec import ConditionSpec
from training.data.shard import CodeSpec, LatentSpec
from training.errors import CheckpointError, LatentMismatchError, SettingError
from training.loop.checkpoint import RECORD_FILE
from training.model import METADATA_KEY, MODEL_FILE, ModelInfo, read_model_info, spec_of_conditions
from training.networks.registry import NetworkConfig
from training.world_model import WorldModel

EXPORT_KEY = "_clipmill_export"  # in config.json of a diffusers folder that Clipmill wrote
DEFAULTS_KEY = "init_defaults"  # in the metadata of checkpoints
_CONDITION_SETTINGS = ("conditions", "camera_injection", "camera_scale", "trajectory_scale")
_VIEW_SETTINGS = ("views", "view_neighbors", "min_view_overlap", "view_overlap_distance")


@dataclass(frozen=True)
class InitialWeights:
    """Weights that a training starts from.

    Attributes:
        network: The config of the network.
        family: The family of the model that has these weights.
        defaults: Settings that the model was trained with. The settings of the user take precedence.
        weights: The weights by the names of `WorldModel`. None: the checkpoint has them.
        recorded_digest: The digest that the checkpoint of a training records that resumes.
        tokenizer_digest: Digest of the tokenizer of the latents, if it is known.
        code_digest: Digest of the tokenizer of the codes, if the network reads codes.
        conditions: The per-frame conditions that the network reads; None if it reads none.
    """

    network: NetworkConfig
    family: str
    defaults: Mapping[str, Any]
    weights: Weights | None
    recorded_digest: str = ""
    tokenizer_digest: str = ""
    code_digest: str = ""
    conditions: ConditionSpec | None = None

    def defaults_for(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults of what the settings do not set.

        With another path or preconditioning the timesteps and the loss have another meaning, so those of
        `TRAINING_SETTINGS` are left out.
        """
        is_other = any(
            settings.get(name, self.defaults[name]) != self.defaults[name]
            for name in ("path", "preconditioning")
        )
        left_out = {*settings, *(TRAINING_SETTINGS if is_other else ())}
        return {name: value for name, value in self.defaults.items() if name not in left_out}

    def report(self, defaults: Mapping[str, Any]) -> None:
        """Print, on the first rank, which defaults a new training takes from the model."""
        if self.weights is not None and dist.get_rank() == 0:
            texts = {n: f"{value:g}" if isinstance(value, float) else value for n, value in defaults.items()}
            named = ", ".join(f"{name} {text}" for name, text in texts.items())
            print(f"init_from is {self.family}; defaults from it: {named or 'none'}", file=sys.stderr)

    def check_latents(self, spec: LatentSpec, codes: CodeSpec | None) -> None:
        """Check that the latents and codes are of the kind that the weights were trained on.

        Raises:
            LatentMismatchError: They have other channels, or are known to be of another tokenizer; or there
                are codes and the network reads none, or the other way around.
        """
        digest = codes.digest if codes else ""
        if digest != self.code_digest:
            given, read = (each[:12] or "no codes" for each in (digest, self.code_digest))
            raise LatentMismatchError(
                f"the training has codes of {given}, but the model of init_from reads {read}",
                remedy="set codes to what that model reads, or train a diffusion decoder without init_from",
            )
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

    def check_conditions(self, found: ConditionSpec | None) -> None:
        """Check that the clips have all conditions that the weights were trained on; they may have more.

        Raises:
            LatentMismatchError: They have not, or others.
        """
        if self.conditions is not None:
            self.conditions.check_contained(found, "the model of init_from")

    def load(self, model: WorldModel) -> None:
        """Copy the weights, if there are any, into a model that may be sharded.

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
            digests = [digest_of(self.weights) if dist.get_rank() == 0 else ""]
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
        record = json.loads((folder / (folder / "latest").read_text() / RECORD_FILE).read_text())
        metadata, digest = record["metadata"]["model"], record["identity"]["init_digest"]
    except (FileNotFoundError, KeyError, ValueError):
        return None
    if metadata["training"].get("init_from") != name:
        return None
    info = ModelInfo.from_json(metadata)
    defaults = _tuples(record["metadata"].get(DEFAULTS_KEY) or _defaults(info))
    if metadata["training"].get("lora_rank") or "distillation" in metadata:  # they need all weights
        return replace(_open_frozen(name), defaults=defaults)
    return InitialWeights(
        info.network,
        "",
        defaults,
        None,
        recorded_digest=digest,
        code_digest=info.codes.get("digest", ""),
        conditions=spec_of_conditions(info),
    )


def open_frozen_weights(name: str, digest: str) -> Weights:
    """The weights of `init_from` of a LoRA training, whose checkpoints have the adapters only.

    Args:
        name: `init_from` of the training.
        digest: The digest that its checkpoint records.

    Raises:
        CheckpointError: They are no longer there, or have another digest.
    """
    weights = _open_frozen(name).weights
    assert weights is not None
    if (found := digest_of(weights)) != digest:
        raise CheckpointError(
            f"the weights have the digest {found[:12]}, but the adapters were trained with {digest[:12]}",
            where=name,
            remedy="put the weights back that init_from had named",
        )
    return weights


def _open_frozen(name: str) -> InitialWeights:
    try:
        return _open(Path(name))
    except CheckpointError as error:
        raise CheckpointError(
            f"adapters and distillations need the weights of init_from, but {error.what}",
            where=error.where or name,
            remedy="put the weights back, or set init_from to their new place",
        ) from error


def _open(path: Path) -> InitialWeights:
    file = path / MODEL_FILE if path.is_dir() else path
    if _is_model_file(file):
        info = read_model_info(file)
        return InitialWeights(
            info.network,
            "a model of Clipmill",
            _defaults(info),
            open_weights(file),
            tokenizer_digest=info.latents["digest"],
            code_digest=info.codes.get("digest", ""),
            conditions=spec_of_conditions(info),
        )
    network, weights, pretrained = load_pretrained(str(path))
    family = find_family(network)
    name, defaults = family.name, {**family.diffusion, **family.training}
    if exported := _exported_defaults(pretrained.path):
        name, defaults = "an export of Clipmill", exported
    return InitialWeights(network, name, defaults, weights.rename({f"network.{w}": w for w in weights}))


def training_settings(info: ModelInfo) -> dict[str, Any]:
    """Those of `TRAINING_SETTINGS` that a model was trained with."""
    return {name: info.training[name] for name in TRAINING_SETTINGS if name in info.training}


def _defaults(info: ModelInfo) -> dict[str, Any]:
    names = _CONDITION_SETTINGS * bool(info.conditions)
    names += _VIEW_SETTINGS * bool(getattr(info.network, "views", ()))
    defaults = _stated_defaults(asdict(info.diffusion), training_settings(info))
    known = {name: info.training[name] for name in names if name in info.training}
    return defaults | known | {"text_encoder": info.text_encoder["name"]}


def _exported_defaults(place: Path) -> dict[str, Any]:
    """The settings that a diffusers folder written by Clipmill states; none if another program wrote it."""
    file = place / CONFIG_FILE
    stated = json.loads(file.read_text()).get(EXPORT_KEY) if file.is_file() else None
    return _stated_defaults(stated["diffusion"], stated.get("training", {})) if stated else {}


def _stated_defaults(diffusion: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    return _tuples(
        {name: diffusion[name] for name in DIFFUSION_SETTINGS if name in diffusion} | dict(training)
    )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were read from JSON, which has lists instead of tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _is_model_file(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors" or not file.is_file():
        return False
    try:
        opened: Any = safe_open(file, framework="pt")
        return METADATA_KEY in (opened.metadata() or {})
    except SafetensorError:
        return False


def digest_of(weights: Weights) -> str:
    """SHA-256 of all names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
