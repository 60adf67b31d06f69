"""A model file: averaged weights in safetensors; its metadata tell the network and how its latents are made.

Metadata "clipmill.world" is a JSON object: format, network (the fields of `video_dit.Config`), latents
(tokenizer, digest, stride, channels, dtype), fps (of the clips before the tokenizer), shapes (of the
latents seen in training, the most frequent first), trained (steps and settings, for people). The same
object lies beside it as config.json.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import BadCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.video_dit import Config, VideoDiT

FORMAT = 1
KEY = "clipmill.world"
NAME = "model.safetensors"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file tells beside its weights; see above."""

    network: "Config"
    latents: Mapping[str, Any]
    fps: float
    shapes: Sequence[tuple[int, int, int, int]]
    trained: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {"format": FORMAT} | plain

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "ModelInfo":
        """
        Raises:
            BadCheckpoint: of another format, or a field is missing or unknown.
        """
        from training.networks.video_dit import Config

        if told.get("format") != FORMAT:
            raise BadCheckpoint(f"the model's format is {told.get('format')}, this version reads {FORMAT}")
        rest = {name: value for name, value in told.items() if name != "format"}
        try:
            network = rest.pop("network")
            config = Config(**network | {"stretch": tuple(network["stretch"])})
            return cls(network=config, shapes=[tuple(shape) for shape in rest.pop("shapes")], **rest)
        except (KeyError, TypeError) as error:
            raise BadCheckpoint(f"what the model tells is not understood: {error}") from error


def save_model(file: Path, weights: Mapping[str, "Tensor"], told: ModelInfo) -> None:
    """Write the file, and config.json beside it; equal weights and words give equal bytes."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: weights[name].detach().to("cpu").contiguous() for name in sorted(weights)}
    words = told.to_json()
    beside = file.with_name(file.name + ".new")
    save_file(kept, beside, metadata={KEY: json.dumps(words, sort_keys=True)})
    beside.chmod(0o644)  # safetensors makes files that nobody else may read
    beside.rename(file)
    file.with_name("config.json").write_text(json.dumps(words, indent=1, sort_keys=True) + "\n")


def read_model_info(path: Path) -> ModelInfo:
    """What a model file, or the one in a folder, tells; without its weights, and without torch.

    Raises:
        BadCheckpoint: there is none, or it is of something else.
    """
    file = path / NAME if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        words = json.loads(header["__metadata__"][KEY])
    except FileNotFoundError:
        raise BadCheckpoint("there is no model here", where=str(path)) from None
    except (ValueError, KeyError, OverflowError, MemoryError) as error:
        raise BadCheckpoint("this is not a model that was trained here", where=str(file)) from error
    return ModelInfo.from_json(words)


def load_model(path: Path) -> "tuple[VideoDiT, ModelInfo]":
    """The network with its weights, float32 on the CPU, for use; and what the file tells.

    Raises:
        BadCheckpoint: there is none, or its keys and shapes are not exactly the network's.
    """
    from safetensors.torch import load_file

    from training.networks.video_dit import VideoDiT
    from training.tokenizers.weights import check_keys

    told = read_model_info(path)
    file = path / NAME if path.is_dir() else path
    network, held = VideoDiT(told.network), load_file(file)
    check_keys(network.state_dict(), held, str(file))
    network.load_state_dict(held)
    return network.eval().requires_grad_(False), told
