"""Text embeddings, or tokens, that were encoded before the training and are stored in the shards of latents.

A stored caption is a safetensors file of one tensor, "text_embeddings" [n d], without its padding. Its
metadata "clipmill" is a JSON object: what identifies the encoder (the fields of `TextEncoder.info`, the name
without its folder), `dtype` and `embed_dim`. Stored tokens are one tensor "text_tokens" [n], int32, and have
no `embed_dim`: they are for a program of your own, because a training encodes captions.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from training.errors import CheckpointError
from training.tensors import TextEmbeddings, TextMask
from training.text_encoders.pretrained import DTYPES

TENSOR = "text_embeddings"
TOKENS = "text_tokens"


class PrecomputedTextEncoder:
    """Stands for the encoder whose embeddings the shards have. It cannot encode other captions.

    Args:
        metadata: The metadata of the stored embeddings.
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.embed_dim = int(metadata["embed_dim"])
        self.info: Mapping[str, Any] = {
            name: value for name, value in metadata.items() if name not in ("dtype", "embed_dim")
        }
        self.max_length, self.min_length = int(metadata["max_length"]), 0

    def __call__(
        self, captions: Sequence[str], device: torch.device | str
    ) -> tuple[TextEmbeddings, TextMask]:
        """Raises:
        CheckpointError: Always.
        """
        raise CheckpointError(
            "a clip has no stored text embeddings, and its caption cannot be encoded here",
            where=f"caption {captions[0][:60]!r}" if captions else "",
            remedy="encode all captions with EncodeText before PackLatents",
        )


def serialize_embeddings(embeddings: Tensor, mask: Tensor, dtype: str, info: Mapping[str, Any]) -> bytes:
    """The stored form of one caption.

    Args:
        embeddings: [n d].
        mask: [n]; padding, where it is 0, is at the end and is not stored.
        dtype: float32, float16 or bfloat16, the type of the stored numbers.
        info: `TextEncoder.info`.
    """
    used = embeddings[: int(mask.sum())].to("cpu", DTYPES[dtype]).contiguous()
    return _save(TENSOR, used, info, {"dtype": dtype, "embed_dim": embeddings.shape[1]})


def serialize_tokens(tokens: Sequence[int], info: Mapping[str, Any]) -> bytes:
    """The stored form of the tokens of one caption.

    Args:
        tokens: Numbers of the tokens, without padding.
        info: `TextEncoder.info`.
    """
    return _save(TOKENS, torch.tensor(tokens, dtype=torch.int32), info, {"dtype": "int32"})


def deserialize_embeddings(data: bytes) -> Tensor:
    """The tensor [n d] of a stored caption, as stored."""
    return load(data)[TENSOR]


def _save(name: str, tensor: Tensor, info: Mapping[str, Any], values: Mapping[str, Any]) -> bytes:
    encoder = str(info["name"])
    stored = Path(encoder).name if Path(encoder).exists() else encoder  # a folder may be private
    metadata = dict(info) | {"name": stored} | dict(values)
    return save({name: tensor}, metadata={"clipmill": json.dumps(metadata, sort_keys=True)})


def pad_embeddings(captions: Sequence[Tensor]) -> tuple[TextEmbeddings, TextMask]:
    """Embeddings [n d] of several captions as one batch [b n d], float32, and its mask [b n].

    Args:
        captions: Embeddings [n d] of each caption; n may be 0.
    """
    length = max(1, *map(len, captions))
    embeddings = torch.zeros(len(captions), length, captions[0].shape[1])
    mask = torch.zeros(len(captions), length, dtype=torch.int64)
    for row, caption in enumerate(captions):
        embeddings[row, : len(caption)] = caption
        mask[row, : len(caption)] = 1
    return embeddings, mask
