"""A small T5 text encoder with random weights."""

from pathlib import Path

import pytest
import torch


def save_small_t5(folder: Path, seed: int = 0, d_model: int = 24) -> Path:
    """Save a T5 encoder with random weights, and its tokenizer, as transformers does. Returns `folder`."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", "a", "shot"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.T5Config(
        vocab_size=8, d_model=d_model, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0
    )
    transformers.T5EncoderModel(config).save_pretrained(folder)
    return folder
