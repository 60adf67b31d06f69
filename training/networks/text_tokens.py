"""Captions as bags of hashed words: the smallest text encoder that tells captions apart, without weights."""

import hashlib
import re
from collections.abc import Sequence

import torch

from training.tensors import Words

WORDS = 4096  # entries of the table; 0 stands for no word
LENGTH = 32  # words kept per caption


def read_words(captions: Sequence[str], device: torch.device | str = "cpu") -> Words:
    """Numbers 1..WORDS-1 of the first LENGTH words of each caption, then zeros; [b LENGTH], int64.

    Two words may share a number. An empty caption is all zeros: nothing is told.
    """
    rows = torch.zeros(len(captions), LENGTH, dtype=torch.int64)
    for row, caption in zip(rows, captions, strict=True):
        numbers = [_number(word) for word in re.findall(r"\w+", caption.lower())[:LENGTH]]
        row[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return rows.to(device)


def _number(word: str) -> int:
    return 1 + int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little") % (WORDS - 1)
