"""The contract of a text encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch

from training.diffusion.conditioning import Conditioning
from training.tensors import TextEmbeddings, TextMask


@runtime_checkable
class TextEncoder(Protocol):
    """Turns captions into embeddings.

    Attributes:
        embed_dim: Width of the embeddings.
        info: What identifies the encoder, as JSON values: "name", and the digest of pretrained weights.
    """

    embed_dim: int
    info: Mapping[str, Any]

    def __call__(
        self, captions: Sequence[str], device: torch.device | str
    ) -> tuple[TextEmbeddings, TextMask]:
        """Embeddings [b n d] and mask [b n]. Padding is zeros, and so is the empty caption."""
        ...


def add_text(
    conditioning: Conditioning,
    encoder: TextEncoder | None,
    captions: Sequence[str],
    device: torch.device | str,
) -> Conditioning:
    """The conditioning with the embeddings of the captions; without an encoder, as it is."""
    if encoder is None:
        return conditioning
    embeddings, mask = encoder(captions, device)
    return replace(conditioning, text_embeddings=embeddings, text_mask=mask)
