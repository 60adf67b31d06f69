"""Text tokens: hashed words of captions, a text encoder without weights."""

import hashlib
import re
from collections.abc import Sequence

import torch

from training.tensors import TextTokens

VOCAB_SIZE = 4096  # entries of the embedding table; 0 is padding
MAX_TOKENS = 32  # words kept per caption


def tokenize_captions(captions: Sequence[str], device: torch.device | str = "cpu") -> TextTokens:
    """Token ids 1..VOCAB_SIZE-1 of the first MAX_TOKENS words of each caption, padded with zeros.

    Two words may have the same id. An empty caption is all zeros.

    Returns:
        [b MAX_TOKENS], int64.
    """
    rows = torch.zeros(len(captions), MAX_TOKENS, dtype=torch.int64)
    for row, caption in zip(rows, captions, strict=True):
        ids = [_token_id(word) for word in re.findall(r"\w+", caption.lower())[:MAX_TOKENS]]
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return rows.to(device)


def _token_id(word: str) -> int:
    digest = hashlib.sha256(word.encode()).digest()
    return 1 + int.from_bytes(digest[:8], "little") % (VOCAB_SIZE - 1)
