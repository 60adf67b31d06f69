"""The contract of a text encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from training.diffusion.conditioning import Conditioning
from training.tensors import TextEmbeddings, TextMask


@runtime_checkable
class TextEncoder(Protocol):
    """Turns captions into embeddings.

    Attributes:
        embed_dim: Width of the embeddings.
        info: What identifies the encoder, as JSON values: "name", and the digest of pretrained weights.
        max_length: Tokens of the longest embedding of a caption.
        min_length: `add_text` continues shorter batches with zeros to this many tokens. A network that
            attends to padding needs batches of one length, `max_length`.
    """

    embed_dim: int
    info: Mapping[str, Any]
    max_length: int
    min_length: int

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
    """The conditioning with the embeddings of the captions; without an encoder, as it is.

    Embeddings that the conditioning already has, from the shards, are only padded. Of several views
    there is a caption of each view, clip after clip.
    """
    if encoder is None:
        return conditioning
    embeddings, mask = conditioning.text_embeddings, conditioning.text_mask
    if embeddings is None:
        embeddings, mask = encoder(captions, device)
        if (indices := conditioning.view_indices) is not None:
            embeddings, mask = (each.reshape(*indices.shape, *each.shape[1:]) for each in (embeddings, mask))
    missing = max(0, encoder.min_length - embeddings.shape[-2])
    return replace(
        conditioning,
        text_embeddings=nn.functional.pad(embeddings, (0, 0, 0, missing)),
        text_mask=None if mask is None else nn.functional.pad(mask, (0, missing)),
    )
