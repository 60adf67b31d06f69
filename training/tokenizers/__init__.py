"""Tokenizers: `load_tokenizer("small")`, or a path to weights of one's own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.tokenizer import Tokenizer


def load_tokenizer(name_or_path: str) -> "Tokenizer":
    """The bundled tokenizer of that name ("small"), or the one whose safetensors file or folder this is.

    Raises:
        BadCheckpoint: there is no such file, it is not a tokenizer, or its keys are not the architecture's.
    """
    from training.tokenizers.weights import load

    return load(name_or_path)


def tokenizer_digest(name_or_path: str) -> str:
    """What `load_tokenizer(name_or_path).digest` would be, without building it or importing torch.

    Raises:
        BadCheckpoint: there is no such file.
    """
    from training.tokenizers.weights import digest

    return digest(name_or_path)


def tokenizer_stride(name_or_path: str) -> tuple[int, int, int]:
    """Pixels per latent along time, height and width, without building it or importing torch.

    Raises:
        BadCheckpoint: there is no such file, or it is not a tokenizer.
    """
    from training.tokenizers.weights import stride

    return stride(name_or_path)
