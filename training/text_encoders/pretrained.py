"""What text encoders with pretrained weights share: loading, a digest of the weights, and padding."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import CheckpointError, TrainingError
from training.tensors import TextEmbeddings, TextMask

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def import_transformers() -> Any:
    """The module transformers.

    Raises:
        TrainingError: It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise TrainingError(
            "pretrained text encoders need transformers", remedy="pip install transformers sentencepiece"
        ) from error
    return transformers


def load_pretrained(load: Callable[..., Any], name_or_path: str, **settings: Any) -> Any:
    """Call `from_pretrained` of a class of transformers.

    Raises:
        CheckpointError: The folder or the repository does not exist, or is incomplete.
    """
    try:
        return load(name_or_path, **settings)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "the text encoder cannot be loaded",
            where=name_or_path,
            remedy=f"name a folder or a repository of the Hugging Face hub that has a tokenizer and weights"
            f" in the format of transformers ({str(error).splitlines()[0]})",
        ) from error


class FrozenModel:
    """A pretrained model for inference: in eval mode, without gradients, in one dtype.

    Args:
        model: A model of transformers, in the dtype of its files.
        dtype: float32, float16 or bfloat16, in which it computes.

    Attributes:
        model: The model.
        digest: SHA-256 of its weights, which depends neither on `dtype` nor on how files divide them.
    """

    def __init__(self, model: nn.Module, dtype: str) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype is {dtype!r}; one of {', '.join(DTYPES)}")
        self.digest = weights_digest(model)
        self.model: Any = model.to(DTYPES[dtype]).eval().requires_grad_(False)

    def __call__(self, device: torch.device | str, **inputs: Any) -> Any:
        """The output of the model on a device, to which it moves."""
        self.model.to(device)
        with torch.no_grad():
            return self.model(**inputs)


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of the names, shapes, types and bytes of all weights."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def pad_tokens(
    rows: Sequence[Sequence[int]], padding: int, device: torch.device | str
) -> tuple[Tensor, TextMask]:
    """Token numbers padded at their end to the longest row [b n], and their mask [b n]; n is at least 1."""
    length = max(1, max(map(len, rows), default=0))
    tokens = [[*row, *[padding] * (length - len(row))] for row in rows]
    masks = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
    return torch.tensor(tokens, device=device), torch.tensor(masks, device=device)


def zero_padding(embeddings: Tensor, mask: TextMask) -> TextEmbeddings:
    """Embeddings with zeros where the mask is 0."""
    return embeddings.masked_fill(mask[..., None] == 0, 0)
