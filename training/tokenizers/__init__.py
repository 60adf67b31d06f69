"""Tokenizers: load a bundled one by name ("small", "small-discrete"), your own by path, or one of diffusers.

"pixels-2", "pixels-4" and "pixels-8" have no weights: their latents are the exact pixels of patches.

Of diffusers are AutoencoderKLCosmos and AutoencoderKLWan: a folder, or a name on the Hugging Face hub.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.tokenizer import Tokenizer


def load_tokenizer(name_or_path: str) -> "Tokenizer":
    """Load the tokenizer of this name, or the one in this safetensors file or folder.

    Names are "small", "small-discrete", "pixels-2", "pixels-4" and "pixels-8".

    Raises:
        CheckpointError: There is no such file, it is not a tokenizer, or its keys are not those of the
            architecture.
    """
    from training.tokenizers.weights import load_weights, pixels_digest, pixels_patch

    if patch := pixels_patch(name_or_path):
        from training.tokenizers.patches import PixelTokenizer

        return PixelTokenizer(patch, pixels_digest(patch)).eval().requires_grad_(False)
    if folder := _diffusers_folder(name_or_path):
        from training.tokenizers.cosmos.diffusers_config import load_cosmos
        from training.tokenizers.diffusers_folder import COSMOS, folder_digest, read_config
        from training.tokenizers.wan import load_wan

        config, digest = read_config(folder), folder_digest(folder)
        load = load_cosmos if config["_class_name"] == COSMOS else load_wan
        return load(folder, config, digest)
    return load_weights(name_or_path)


def tokenizer_digest(name_or_path: str) -> str:
    """The digest of a tokenizer, without building it or importing torch.

    Raises:
        CheckpointError: There is no such file.
    """
    from training.tokenizers.weights import file_digest, pixels_digest, pixels_patch

    if patch := pixels_patch(name_or_path):
        return pixels_digest(patch)
    if folder := _diffusers_folder(name_or_path):
        from training.tokenizers.diffusers_folder import folder_digest

        return folder_digest(folder)
    return file_digest(name_or_path)


def tokenizer_stride(name_or_path: str) -> tuple[int, int, int]:
    """Frames and pixels per latent along time, height and width, without building it or importing torch.

    Raises:
        CheckpointError: There is no such file, or it is not a tokenizer.
    """
    from training.tokenizers.weights import pixels_patch, read_stride

    if patch := pixels_patch(name_or_path):
        return 1, patch, patch
    if folder := _diffusers_folder(name_or_path):
        from training.tokenizers.diffusers_folder import folder_stride

        return folder_stride(folder)
    return read_stride(name_or_path)


def _diffusers_folder(name_or_path: str) -> Path | None:
    """The folder of diffusers that this names, if it does."""
    from training.tokenizers.diffusers_folder import find_folder
    from training.tokenizers.weights import BUNDLED, TOKENIZER_FILE

    is_own = name_or_path in BUNDLED or (Path(name_or_path) / TOKENIZER_FILE).is_file()
    return None if is_own else find_folder(name_or_path)
