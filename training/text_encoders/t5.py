"""The encoder of T5, with which Cosmos-Predict1 and Predict2 were trained.

Source: Raffel et al. 2019, arXiv:1910.10683.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from training.tensors import TextEmbeddings, TextMask
from training.text_encoders.pretrained import (
    FrozenModel,
    import_transformers,
    load_pretrained,
    pad_tokens,
    zero_padding,
)


class T5TextEncoder:
    """Captions to the last hidden state of a T5 encoder (also mT5 and UMT5).

    The model does not attend to padding, so the embedding of a caption is the same in every batch, up to
    rounding.

    Args:
        name_or_path: A folder, or a repository of the Hugging Face hub such as google-t5/t5-11b.
        max_length: Longer captions lose their end, in tokens.
        dtype: float32, float16 or bfloat16, in which the encoder computes. Embeddings are float32.

    Raises:
        CheckpointError: There is no such encoder.
        TrainingError: transformers is not installed.
    """

    def __init__(self, name_or_path: str, max_length: int = 512, dtype: str = "bfloat16") -> None:
        transformers = import_transformers()
        self.tokenizer = load_pretrained(transformers.AutoTokenizer.from_pretrained, name_or_path)
        load = transformers.AutoModelForTextEncoding.from_pretrained
        self.encoder = FrozenModel(load_pretrained(load, name_or_path, dtype="auto"), dtype)
        self.max_length, self.min_length = max_length, 0
        self.embed_dim: int = self.encoder.model.config.d_model
        self.info: Mapping[str, Any] = {
            "name": name_or_path,
            "kind": "t5",
            "digest": self.encoder.digest,
            "max_length": max_length,
        }

    def __call__(
        self, captions: Sequence[str], device: torch.device | str
    ) -> tuple[TextEmbeddings, TextMask]:
        """Embeddings [b n embed_dim], float32, and mask [b n]; the empty caption is zeros."""
        rows = [self.tokenize(caption) for caption in captions]
        tokens, mask = pad_tokens(rows, self.tokenizer.pad_token_id or 0, device)
        # a row without tokens attends to its padding, which is finite, and is zeroed below
        attended = mask | (mask.sum(1, keepdim=True) == 0)
        hidden = self.encoder(device, input_ids=tokens, attention_mask=attended).last_hidden_state
        return zero_padding(hidden.float(), mask), mask

    def tokenize(self, caption: str) -> list[int]:
        """The tokens of a caption that are encoded; none of the empty caption."""
        if not caption:
            return []
        tokens: list[int] = self.tokenizer(caption, truncation=True, max_length=self.max_length).input_ids
        return tokens
