"""Hidden states of a language model, or of the text part of a vision language model.

Cosmos-Predict2.5 concatenates all 28 layers of Cosmos-Reason1 (Qwen2.5-VL): 28 * 3584 = 100 352 numbers per
token. A linear layer of the network projects them (`crossattn_proj`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from training.tensors import TextEmbeddings, TextMask
from training.text_encoders.pretrained import (
    FrozenModel,
    import_transformers,
    load_pretrained,
    pad_tokens,
    zero_padding,
)

COSMOS_REASON_PROMPT = "You are a helpful assistant who will provide prompts to an image generator."


class LanguageModelTextEncoder:
    """Captions to the hidden states of several layers, each normalized over its width, concatenated.

    Each state has mean 0 and standard deviation 1. The attention of the model is causal and padding comes
    last, so the embedding of a caption is the same in every batch, up to rounding.

    Args:
        name_or_path: A folder, or a repository of the Hugging Face hub such as nvidia/Cosmos-Reason1-7B.
        layers: Numbers of the layers, 1 to that of the last layer; None takes all of them.
        max_length: Longer captions lose their end, in tokens, system prompt included.
        system_prompt: The caption is the message of a user after this message of the system, in the chat
            template of the tokenizer. None encodes the caption as plain text.
        pad_to_max_length: Continue each caption with padding tokens to `max_length`, which are encoded and
            count as text, as Cosmos-Predict2.5 was trained.
        dtype: float32, float16 or bfloat16, in which the model computes. Embeddings are float32.

    Raises:
        CheckpointError: There is no such model.
        TrainingError: transformers is not installed.
        ValueError: There is no such layer.
    """

    def __init__(
        self,
        name_or_path: str,
        layers: Sequence[int] | None = None,
        max_length: int = 512,
        system_prompt: str | None = None,
        pad_to_max_length: bool = False,
        dtype: str = "bfloat16",
    ) -> None:
        transformers = import_transformers()
        self.tokenizer = load_pretrained(transformers.AutoTokenizer.from_pretrained, name_or_path)
        model = load_pretrained(transformers.AutoModel.from_pretrained, name_or_path, dtype="auto")
        self.model = FrozenModel(model, dtype)
        config = model.config.get_text_config()
        self.layers = tuple(range(1, config.num_hidden_layers + 1) if layers is None else layers)
        if not self.layers or not all(0 < layer <= config.num_hidden_layers for layer in self.layers):
            raise ValueError(f"layers are {self.layers}; numbers from 1 to {config.num_hidden_layers}")
        self.max_length, self.min_length, self.system_prompt = max_length, 0, system_prompt
        self.pad_to_max_length = pad_to_max_length
        self.embed_dim: int = len(self.layers) * config.hidden_size
        self.info: Mapping[str, Any] = {
            "name": name_or_path,
            "kind": "language_model",
            "digest": self.model.digest,
            "layers": list(self.layers),
            "max_length": max_length,
            "system_prompt": system_prompt,
            "pad_to_max_length": pad_to_max_length,
        }

    def __call__(
        self, captions: Sequence[str], device: torch.device | str
    ) -> tuple[TextEmbeddings, TextMask]:
        """Embeddings [b n embed_dim], float32, and mask [b n]; the empty caption is zeros."""
        padding = self.tokenizer.pad_token_id
        padding = (self.tokenizer.eos_token_id or 0) if padding is None else padding
        rows = [self.tokenize(caption) for caption in captions]
        if self.pad_to_max_length:
            rows = [[*row, *[padding] * (self.max_length - len(row))] if row else [] for row in rows]
        tokens, mask = pad_tokens(rows, padding, device)
        states = self.model(device, input_ids=tokens, output_hidden_states=True).hidden_states
        embeddings = torch.cat([normalize_width(states[layer].float()) for layer in self.layers], -1)
        return zero_padding(embeddings, mask), mask

    def tokenize(self, caption: str) -> list[int]:
        """The tokens of a caption that are encoded, without padding; none of the empty caption."""
        if not caption:
            return []
        text = caption
        if self.system_prompt is not None:
            messages = [
                {"role": role, "content": [{"type": "text", "text": text}]}
                for role, text in (("system", self.system_prompt), ("user", caption))
            ]
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
        tokens: list[int] = self.tokenizer(
            text, truncation=True, max_length=self.max_length, add_special_tokens=self.system_prompt is None
        ).input_ids
        return tokens


def normalize_width(states: Tensor) -> Tensor:
    """Hidden states [b n d] with mean 0 and standard deviation 1 over d."""
    mean, std = states.mean(-1, keepdim=True), states.std(-1, keepdim=True)
    return (states - mean) / (std + 1e-8)
