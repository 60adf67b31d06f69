"""The file of an autoregressive model: EMA weights in safetensors, whose metadata describes its tokens.

The metadata "clipmill.autoregressive" is a JSON object, and so is config.json in the same folder:

    format          version of this layout
    network         fields of `AutoregressiveConfig`
    text_encoder    what identifies the text encoder: "name" and, of pretrained weights, "digest" and settings
    latents         tokenizer, digest, stride, channels, dtype of the codes
    fps             frame rate of the clips before the tokenizer, in frames per second
    latent_shapes   shapes [1 t h w] of the training clips, the most frequent first
    training        steps and settings, for people
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import CheckpointError
from training.model import MODEL_FILE, read_header, write_model_file
from training.networks.autoregressive.config import AutoregressiveConfig

if TYPE_CHECKING:
    from torch import Tensor

    from training.autoregressive.model import AutoregressiveModel

FORMAT = 1
METADATA_KEY = "clipmill.autoregressive"


@dataclass(frozen=True)
class TokenModelInfo:
    """The metadata of a model file; the module docstring explains the fields."""

    network: AutoregressiveConfig
    text_encoder: Mapping[str, Any]
    latents: Mapping[str, Any]
    fps: float
    latent_shapes: Sequence[tuple[int, int, int, int]]
    training: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The metadata as plain JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {"format": FORMAT} | values

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> "TokenModelInfo":
        """Read the metadata.

        Raises:
            CheckpointError: It has another format, or a field is missing or unknown.
        """
        if metadata.get("format") != FORMAT:
            raise CheckpointError(
                f"the model has format {metadata.get('format')}; this version reads format {FORMAT}"
            )
        fields = {name: value for name, value in metadata.items() if name != "format"}
        try:
            network = AutoregressiveConfig(**fields.pop("network"))
            latent_shapes = [tuple(shape) for shape in fields.pop("latent_shapes")]
            return cls(network=network, latent_shapes=latent_shapes, **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the metadata of the model is invalid: {error}") from error


def is_token_model(path: Path) -> bool:
    """Whether a file, or the one in a folder, is an autoregressive model.

    Raises:
        CheckpointError: There is no model.
    """
    return METADATA_KEY in read_header(path)


def read_token_model_info(path: Path) -> TokenModelInfo:
    """Read the metadata of an autoregressive model, without its weights and without torch.

    Raises:
        CheckpointError: There is no model file, or it is of another kind.
    """
    if not is_token_model(path):
        raise CheckpointError(
            "this is not an autoregressive model",
            where=str(path),
            remedy="name the output folder of clipmill train autoregressive",
        )
    return TokenModelInfo.from_json(json.loads(read_header(path)[METADATA_KEY]))


def save_token_model(
    file: Path, weights: Mapping[str, "Tensor"], info: TokenModelInfo, *, is_writer: bool = True
) -> None:
    """Write the model file and config.json. Of distributed tensors all ranks call this, and one writes.

    Raises:
        CheckpointError: The file cannot be written.
    """
    write_model_file(file, weights, METADATA_KEY, info.to_json(), is_writer=is_writer)


def load_token_model(path: Path) -> "tuple[AutoregressiveModel, TokenModelInfo]":
    """Load a model for inference, float32 on the CPU, and its metadata.

    Raises:
        CheckpointError: There is no model file, or its keys and shapes are not exactly those of the model.
    """
    from safetensors.torch import load_file

    from training.autoregressive.model import AutoregressiveModel
    from training.tokenizers.weights import check_keys

    info = read_token_model_info(path)
    file = path / MODEL_FILE if path.is_dir() else path
    model = AutoregressiveModel(info.network, info.text_encoder["name"])
    weights = load_file(file)
    check_keys(model.state_dict(), weights, str(file))
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False), info
