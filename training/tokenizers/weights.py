"""Weights of tokenizers: one safetensors file, whose metadata describes the architecture and the training.

The metadata "clipmill.tokenizer" is a JSON object: format, class ("patch" or "cosmos"), config, stride,
trained (data, settings, results: only for people). Format 1 has no class and no stride: it is a patch
tokenizer. Tensors may be float16; they are loaded as float32. A path names the file, or a folder that
contains it as tokenizer.safetensors.
"""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import CheckpointError

if TYPE_CHECKING:
    from training.tokenizers.causal import CausalTokenizer

FORMAT = 2
METADATA_KEY = "clipmill.tokenizer"
TOKENIZER_FILE = "tokenizer.safetensors"
BUNDLED = {
    "small": Path(__file__).parent / "small.safetensors",
    "small-discrete": Path(__file__).parent / "small_discrete.safetensors",
}

PIXELS = ("pixels-2", "pixels-4", "pixels-8")  # of `training.tokenizers.patches`; they have no weights


def pixels_patch(name_or_path: str) -> int:
    """Width in px of the patches of a tokenizer of pixels; 0 if the name is not one of them."""
    return int(name_or_path.rpartition("-")[2]) if name_or_path in PIXELS else 0


def pixels_digest(patch: int) -> str:
    """The digest of a tokenizer of pixels, which follows from its patch."""
    return hashlib.sha256(f"pixels 1 {patch}".encode()).hexdigest()


def find_weights(name_or_path: str) -> Path:
    """The file of a bundled tokenizer, or of your own.

    Raises:
        CheckpointError: There is none.
    """
    if name_or_path in BUNDLED:
        return BUNDLED[name_or_path]
    path = Path(name_or_path)
    path = path / TOKENIZER_FILE if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(
            f"there is no tokenizer {name_or_path!r}",
            remedy=f"name one of {', '.join([*BUNDLED, *PIXELS])}, a safetensors file,"
            f" a folder with {TOKENIZER_FILE}, or a folder or hub name of diffusers' AutoencoderKLCosmos or"
            " AutoencoderKLWan",
        )
    return path


def file_digest(name_or_path: str) -> str:
    """SHA-256 of the file: weights, architecture and all other metadata."""
    return hashlib.sha256(find_weights(name_or_path).read_bytes()).hexdigest()


def read_stride(name_or_path: str) -> tuple[int, int, int]:
    """Frames and pixels per latent along time, height and width, read without torch.

    Raises:
        CheckpointError: There is no such file, or it is not a tokenizer.
    """
    path = find_weights(name_or_path)
    time, height, width = read_metadata(path.read_bytes(), path)["stride"]
    return time, height, width


def load_weights(name_or_path: str) -> "CausalTokenizer":
    """Load the tokenizer for inference, in float32, on the CPU.

    Raises:
        CheckpointError: There is no such file, it is not a tokenizer, or its keys or shapes are wrong.
    """
    import torch
    from safetensors.torch import load

    path = find_weights(name_or_path)
    data = path.read_bytes()
    metadata = read_metadata(data, path)
    weights = {name: tensor.to(torch.float32) for name, tensor in load(data).items()}
    for name in ("latent_mean", "latent_std"):
        if name in weights and weights[name].dim() == 1:  # format 1 has [c], and not [c n]
            weights[name] = weights[name][:, None]
    statistics = weights.get("latent_mean", torch.empty(0, 1))
    try:
        tokenizer = build_tokenizer(
            metadata["class"],
            metadata["config"],
            hashlib.sha256(data).hexdigest(),
            statistics.shape[1],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the config of the tokenizer is invalid: {error}", where=str(path)) from error
    check_keys(tokenizer.state_dict(), weights, str(path))
    tokenizer.load_state_dict(weights)
    return tokenizer.eval().requires_grad_(False)


def build_tokenizer(
    class_name: str, config: dict[str, Any], digest: str = "", normalized_frames: int = 1
) -> "CausalTokenizer":
    """A tokenizer with initial weights.

    Args:
        class_name: "patch" or "cosmos".
        config: Fields of `PatchTokenizerConfig` or `CosmosTokenizerConfig`, as JSON values.
        digest: Identifies the weights.
        normalized_frames: Latent frames that have a mean and standard deviation of their own.

    Raises:
        ValueError: The class or a field is unknown, or the values do not fit together.
    """
    from training.tokenizers.cosmos.config import CosmosTokenizerConfig
    from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
    from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig

    config_class = {"patch": PatchTokenizerConfig, "cosmos": CosmosTokenizerConfig}.get(class_name)
    if config_class is None:
        raise ValueError(f"there is no class {class_name!r} of tokenizers")
    unknown = sorted(config.keys() - {field.name for field in fields(config_class)})
    if unknown:
        raise ValueError(f"{config_class.__name__} has no {', '.join(unknown)}")
    values = config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})
    if isinstance(values, CosmosTokenizerConfig):
        return CosmosTokenizer(values, digest, normalized_frames)
    assert isinstance(values, PatchTokenizerConfig)
    return PatchTokenizer(values, digest)


def save_weights(tokenizer: "CausalTokenizer", path: Path, trained: dict[str, Any]) -> None:
    """Write weights as float16, and the mean and standard deviation of the latents as float32.

    A tensor whose values are too large for float16 is written as float32.

    Args:
        trained: How the tokenizer was trained, as JSON values.

    Raises:
        CheckpointError: A weight is NaN or infinite.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, tensor in tokenizer.state_dict().items():
        value = tensor.detach().to("cpu", torch.float32)
        if not value.isfinite().all():
            raise CheckpointError(
                f"the weight {name} is NaN or infinite", where=str(path), remedy="train with a lower lr"
            )
        half = value.half()
        tensors[name] = half if half.isfinite().all() and not name.startswith("latent_") else value
    metadata = {
        "format": FORMAT,
        "class": tokenizer.class_name,
        "config": tokenizer.config_dict(),
        "stride": list(tokenizer.stride),
        "trained": trained,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        path,
        metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)},
    )


def check_keys(expected: dict[str, Any], weights: dict[str, Any], where: str) -> None:
    """Check that the weights have exactly the expected keys and shapes.

    Raises:
        CheckpointError: It names keys that are missing, unknown or of another shape.
    """
    shared = expected.keys() & weights.keys()
    problems = {
        "missing": sorted(expected.keys() - weights.keys()),
        "unknown": sorted(weights.keys() - expected.keys()),
        "of another shape": sorted(k for k in shared if expected[k].shape != weights[k].shape),
    }
    texts = [f"{problem}: {', '.join(_abbreviate(keys))}" for problem, keys in problems.items() if keys]
    if texts:
        raise CheckpointError(f"the weights do not match the network; {'; '.join(texts)}", where=where)


def _abbreviate(keys: list[str]) -> list[str]:
    return keys if len(keys) <= 6 else [*keys[:5], f"and {len(keys) - 5} more"]


def read_metadata(data: bytes, path: Path) -> dict[str, Any]:
    """Read the JSON in the header of a safetensors file.

    Raises:
        CheckpointError: The file is not a tokenizer, or has another format.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        metadata: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][METADATA_KEY])
    except (ValueError, KeyError) as error:
        raise CheckpointError("this is not the safetensors file of a tokenizer", where=str(path)) from error
    if metadata.get("format") == 1 and "architecture" in metadata:
        config = metadata.pop("architecture")
        return metadata | {"class": "patch", "config": config, "stride": config["stride"]}
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"the tokenizer has format {metadata.get('format')}; this version reads formats 1 and {FORMAT}",
            where=str(path),
        )
    return metadata
