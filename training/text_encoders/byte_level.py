"""A small text encoder over UTF-8 bytes, trained together with the denoiser, for use without a download.

It has no knowledge of language but what the captions of the training data teach it. Use a pretrained encoder
(`training.text_encoders`) for captions that differ from those of the training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.networks.initialization import fill_truncated_normal
from training.tensors import TextEmbeddings, TextMask

MAX_BYTES = 256  # bytes kept per caption
STRIDE = 4  # bytes per token


class ByteLevelTextEncoder(nn.Module):
    """Bytes to embeddings of `STRIDE` bytes each, with position, then one transformer layer.

    Args:
        embed_dim: Width of the embeddings, a multiple of 4.
        seed: Seed of the initial weights.

    Raises:
        ValueError: `embed_dim` is not a multiple of 4.
    """

    info: Mapping[str, Any] = {"name": "byte_level"}
    max_length = MAX_BYTES // STRIDE
    min_length = 0

    def __init__(self, embed_dim: int, seed: int = 0) -> None:
        super().__init__()
        if embed_dim < 4 or embed_dim % 4:
            raise ValueError(f"embed_dim is {embed_dim}; a multiple of 4")
        self.embed_dim = embed_dim
        self.byte_embed = nn.Embedding(257, embed_dim // 4)  # 0 is padding
        self.patch_embed = nn.Linear(STRIDE * (embed_dim // 4), embed_dim)
        self.position_embed = nn.Parameter(torch.empty(MAX_BYTES // STRIDE, embed_dim))
        self.layer = nn.TransformerEncoderLayer(
            embed_dim,
            embed_dim // 32 if embed_dim % 32 == 0 else 1,
            2 * embed_dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.norm_out = nn.LayerNorm(embed_dim)
        self.reset_parameters(seed)

    @torch.no_grad()
    def reset_parameters(self, seed: int = 0) -> None:
        """Initialize all weights from `seed`. On the meta device this does nothing.

        The values of a parameter depend on nothing but the seed and its name.
        """
        stds = {"byte_embed.weight": 0.5, "position_embed": 0.1}
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.dim() == 1:  # the weight of a norm
                parameter.fill_(1)
            else:
                std = stds.get(name, parameter.shape[1] ** -0.5)
                fill_truncated_normal(parameter, f"text_encoder.{name}", seed, std)

    def forward(self, captions: Sequence[str], device: torch.device | str) -> tuple[TextEmbeddings, TextMask]:
        """Embeddings [b n embed_dim] and mask [b n]; n covers the longest caption of the batch."""
        codes = _byte_codes(captions).to(device)
        patches = codes.reshape(len(codes), -1, STRIDE)
        mask = (patches[..., 0] > 0).long()
        x = self.patch_embed(self.byte_embed(patches).flatten(2)) + self.position_embed[: patches.shape[1]]
        is_padding = mask == 0
        is_padding = is_padding & (mask.sum(1) > 0)[:, None]  # attention needs one token in each row
        x = self.norm_out(self.layer(x, src_key_padding_mask=is_padding))
        return x * mask[..., None], mask


def _byte_codes(captions: Sequence[str]) -> Tensor:
    """Bytes 1..256 of each caption, padded with zeros to a multiple of `STRIDE`, [b n]."""
    texts = [caption.encode()[:MAX_BYTES] for caption in captions]
    length = max(1, -(-max(map(len, texts), default=0) // STRIDE)) * STRIDE
    codes = torch.zeros(len(texts), length, dtype=torch.int64)
    for row, text in zip(codes, texts, strict=True):
        row[: len(text)] = torch.tensor([byte + 1 for byte in text], dtype=torch.int64)
    return codes
