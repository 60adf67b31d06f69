"""A model file: EMA weights in safetensors, whose metadata describes the network and its latents.

The metadata "clipmill.world" is a JSON object:

    format          version of this layout
    network         "_class_name" (VideoDiT, UNet3D or ConvRNN) and the fields of its config
    diffusion       fields of `DiffusionConfig`
    text_encoder    what identifies the text encoder: "name" and, of pretrained weights, "digest" and settings
    flow_shift      shift of the training timesteps towards noise
    latents         tokenizer, digest, stride, channels, dtype
    fps             frame rate of the clips before the tokenizer, in frames per second
    latent_shapes   shapes [c t h w] of the training latents, of one view, the most frequent first
    training        steps and settings, for people
    codes           of a diffusion decoder: tokenizer, digest, stride and codebook_size of what it reads
    conditions      of a model that reads actions, a camera or a trajectory: see `training.conditions.spec`,
                    and camera_intrinsics of a training clip, fx, fy, cx, cy as shares of width and height. Of
                    several cameras also rig: {camera: {"intrinsics": …, "pose": [R|t] row by row in the
                    coordinates of the first camera}}
    distillation    of a distilled model: the falling timesteps that it is sampled with, and the
                    guidance_scale of its teacher, which it has learned
    latent_statistics   mean and std by which the latents are normalized, by domain; {} does not normalize

config.json in the same folder holds the same object.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.diffusion.config import DiffusionConfig
from training.errors import CheckpointError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

    from training.conditions.spec import ConditionSpec
    from training.data.shard import CodeSpec
    from training.networks.registry import NetworkConfig
    from training.world_model import WorldModel

FORMAT = 4
METADATA_KEY = "clipmill.world"
MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class ModelInfo:
    """The metadata of a model file; the module docstring explains the fields."""

    network: "NetworkConfig"
    diffusion: DiffusionConfig
    text_encoder: Mapping[str, Any]
    flow_shift: float
    latents: Mapping[str, Any]
    fps: float
    latent_shapes: Sequence[tuple[int, int, int, int]]
    training: Mapping[str, Any]
    latent_statistics: Mapping[str, Any] = field(default_factory=dict)
    codes: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    distillation: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The metadata as plain JSON values."""
        from training.networks.config import CODE_FIELDS, CONDITION_FIELDS, VIEW_FIELDS
        from training.networks.registry import CLASS_NAME, class_name

        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        values["network"][CLASS_NAME] = class_name(self.network)
        optional = (("codes", CODE_FIELDS), ("conditions", CONDITION_FIELDS), ("distillation", ()))
        for part, network_fields in optional:
            if not getattr(self, part):  # the metadata of other models does not mention it
                del values[part]
                for name in network_fields:
                    values["network"].pop(name, None)
        if not values["network"].get("views"):
            for name in VIEW_FIELDS:
                values["network"].pop(name, None)
        return {"format": FORMAT} | values

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> "ModelInfo":
        """Read the metadata.

        Raises:
            CheckpointError: It has another format, or a field is missing or unknown.
        """
        from training.networks.registry import config_from_json

        if metadata.get("format") != FORMAT:
            raise CheckpointError(
                f"the model has format {metadata.get('format')}; this version reads format {FORMAT}"
            )
        fields = {name: value for name, value in metadata.items() if name != "format"}
        try:
            config = config_from_json(fields.pop("network"))
            latent_shapes = [tuple(shape) for shape in fields.pop("latent_shapes")]
            diffusion = DiffusionConfig(**fields.pop("diffusion"))
            return cls(network=config, diffusion=diffusion, latent_shapes=latent_shapes, **fields)
        except (KeyError, TypeError, ValueError, SettingError) as error:
            raise CheckpointError(f"the metadata of the model is invalid: {error}") from error


def spec_of_codes(info: ModelInfo) -> "CodeSpec | None":
    """How the codes were made that a diffusion decoder reads; None of another model."""
    from training.data.shard import CodeSpec

    return CodeSpec(**dict(info.codes) | {"stride": tuple(info.codes["stride"])}) if info.codes else None


def spec_of_conditions(info: ModelInfo) -> "ConditionSpec | None":
    """What the per-frame conditions of a model mean; None of a model without any.

    Raises:
        CheckpointError: The metadata do not describe them.
    """
    from training.conditions.spec import ConditionSpec

    if not info.conditions:
        return None
    try:
        return ConditionSpec.from_json(info.conditions)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the conditions of the model are not described: {error}") from error


def save_model(
    file: Path, weights: Mapping[str, "Tensor"], info: ModelInfo, *, is_writer: bool = True
) -> None:
    """Write the model file and config.json. Equal weights and metadata give equal bytes.

    One tensor at a time is in memory, if `weights` are `Weights` or distributed tensors. Of the latter, all
    ranks call this, and one of them is the writer.

    Raises:
        CheckpointError: The file cannot be written.
    """
    write_model_file(file, weights, METADATA_KEY, info.to_json(), is_writer=is_writer)


def write_model_file(
    file: Path, weights: Mapping[str, "Tensor"], key: str, metadata: Mapping[str, Any], *, is_writer: bool
) -> None:
    """Write weights with metadata under a key, and the metadata as config.json too; see `save_model`."""
    from training.adapters.safetensors_writer import write_safetensors

    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metadata, sort_keys=True)
    write_safetensors(file, weights, {key: text}, is_writer=is_writer)
    if is_writer:
        file.with_name("config.json").write_text(json.dumps(metadata, indent=1, sort_keys=True) + "\n")


def read_header(path: Path) -> dict[str, str]:
    """The metadata of a model file, or of the one in a folder, as texts by key.

    Raises:
        CheckpointError: There is no model file, or it is of another kind.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        return dict(header["__metadata__"])
    except FileNotFoundError:
        raise CheckpointError(
            "there is no model here",
            where=str(path),
            remedy="name a model or the output folder of a training",
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise CheckpointError("this file is not a model trained by Clipmill", where=str(file)) from error


def read_model_info(path: Path) -> ModelInfo:
    """Read the metadata of a model file, or of the one in a folder, without its weights and without torch.

    Raises:
        CheckpointError: There is no model file, or it is of another kind.
    """
    header = read_header(path)
    if METADATA_KEY not in header:
        raise CheckpointError("this file is not a diffusion model trained by Clipmill", where=str(path))
    return ModelInfo.from_json(json.loads(header[METADATA_KEY]))


def load_model(path: Path) -> "tuple[WorldModel, ModelInfo]":
    """Load a model for inference, float32 on the CPU, and its metadata.

    Raises:
        CheckpointError: There is no model file, or its keys and shapes are not exactly those of the model.
    """
    from safetensors.torch import load_file

    from training.tokenizers.weights import check_keys
    from training.world_model import WorldModel

    info = read_model_info(path)
    file = path / MODEL_FILE if path.is_dir() else path
    model = WorldModel(info.network, info.diffusion, info.text_encoder["name"])
    weights = load_file(file)
    check_keys(model.state_dict(), weights, str(file))
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False), info
