"""Tokenizers: load a bundled one by name ("small", "small-discrete"), or your own by path."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.tokenizer import Tokenizer


def load_tokenizer(name_or_path: str) -> "Tokenizer":
    """Load the bundled tokenizer of this name, or the one in this safetensors file or folder.

    Bundled are "small" and "small-discrete".

    Raises:
        CheckpointError: There is no such file, it is not a tokenizer, or its keys are not those of the
            architecture.
    """
    from training.tokenizers.weights import load_weights

    return load_weights(name_or_path)


def tokenizer_digest(name_or_path: str) -> str:
    """The digest of a tokenizer, without building it or importing torch.

    Raises:
        CheckpointError: There is no such file.
    """
    from training.tokenizers.weights import file_digest

    return file_digest(name_or_path)


def tokenizer_stride(name_or_path: str) -> tuple[int, int, int]:
    """Frames and pixels per latent along time, height and width, without building it or importing torch.

    Raises:
        CheckpointError: There is no such file, or it is not a tokenizer.
    """
    from training.tokenizers.weights import read_stride

    return read_stride(name_or_path)
