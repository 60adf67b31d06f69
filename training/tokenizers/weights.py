"""Tokenizer weights: one safetensors file, whose metadata tell the architecture and how it was trained.

Metadata "clipmill.tokenizer" is a JSON object: format, architecture, trained (data, settings, results: only
read by people). Tensors may be float16; they become float32. A path may name the file, or a folder that holds
it as tokenizer.safetensors.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import BadCheckpoint

if TYPE_CHECKING:
    from training.tokenizers.causal import CausalTokenizer

FORMAT = 1
KEY = "clipmill.tokenizer"
NAME = "tokenizer.safetensors"
BUNDLED = {"small": Path(__file__).parent / "small.safetensors"}


def locate(name_or_path: str) -> Path:
    """The file of a bundled tokenizer, or of one's own.

    Raises:
        BadCheckpoint: there is none.
    """
    if name_or_path in BUNDLED:
        return BUNDLED[name_or_path]
    path = Path(name_or_path)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise BadCheckpoint(
            f"there is no tokenizer {name_or_path!r}",
            remedy=f"name one of {', '.join(BUNDLED)}, a safetensors file, or a folder with {NAME}",
        )
    return path


def digest(name_or_path: str) -> str:
    """SHA-256 of the file: weights, architecture and all that is told about them."""
    return hashlib.sha256(locate(name_or_path).read_bytes()).hexdigest()


def stride(name_or_path: str) -> tuple[int, int, int]:
    """Pixels per latent along time, height and width, read without torch.

    Raises:
        BadCheckpoint: there is no such file, or it is not a tokenizer.
    """
    path = locate(name_or_path)
    time, height, width = told(path.read_bytes(), path)["architecture"]["stride"]
    return time, height, width


def load(name_or_path: str) -> "CausalTokenizer":
    """The tokenizer, in float32, on the CPU, for use and not for training.

    Raises:
        BadCheckpoint: there is no such file, it is not a tokenizer, or its keys or shapes do not fit.
    """
    import torch
    from safetensors.torch import load as parse

    from training.tokenizers.causal import Architecture, CausalTokenizer

    path = locate(name_or_path)
    data = path.read_bytes()
    said = told(data, path)
    try:
        shape = said["architecture"] | {"stride": tuple(said["architecture"]["stride"])}
        tokenizer = CausalTokenizer(Architecture(**shape), digest=hashlib.sha256(data).hexdigest())
    except (KeyError, TypeError) as error:
        raise BadCheckpoint(f"the architecture is not understood: {error}", where=str(path)) from error
    held = {name: tensor.to(torch.float32) for name, tensor in parse(data).items()}
    check_keys(tokenizer.state_dict(), held, str(path))
    tokenizer.load_state_dict(held)
    return tokenizer.eval().requires_grad_(False)


def save(tokenizer: "CausalTokenizer", path: Path, trained: dict[str, Any]) -> None:
    """Write weights as float16, the latents' mean and deviation as float32."""
    import torch
    from safetensors.torch import save_file

    kept = {
        name: tensor.detach().to("cpu", torch.float32 if name.startswith("latent_") else torch.float16)
        for name, tensor in tokenizer.state_dict().items()
    }
    told = {"format": FORMAT, "architecture": asdict(tokenizer.architecture), "trained": trained}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in kept.items()},
        path,
        metadata={KEY: json.dumps(told, sort_keys=True)},
    )


def check_keys(wanted: dict[str, Any], held: dict[str, Any], where: str) -> None:
    """Every key and shape that is wanted is held, and nothing else.

    Raises:
        BadCheckpoint: names the missing, the unknown and the misshapen.
    """
    wrong = {
        "missing": sorted(wanted.keys() - held.keys()),
        "unknown": sorted(held.keys() - wanted.keys()),
        "of another shape": sorted(
            k for k in wanted.keys() & held.keys() if wanted[k].shape != held[k].shape
        ),
    }
    said = [f"{how}: {', '.join(_shortened(names))}" for how, names in wrong.items() if names]
    if said:
        raise BadCheckpoint(f"the weights do not fit; {'; '.join(said)}", where=where)


def _shortened(names: list[str]) -> list[str]:
    return names if len(names) <= 6 else [*names[:5], f"and {len(names) - 5} more"]


def told(data: bytes, path: Path) -> dict[str, Any]:
    """The JSON in a safetensors file's header.

    Raises:
        BadCheckpoint: it is not a tokenizer's, or of another format.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        said: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][KEY])
    except (ValueError, KeyError) as error:
        raise BadCheckpoint("this is not a tokenizer's safetensors file", where=str(path)) from error
    if said.get("format") != FORMAT:
        raise BadCheckpoint(
            f"the tokenizer's format is {said.get('format')}, this version reads {FORMAT}", where=str(path)
        )
    return said
