"""Tiny vision-language models with random weights, in the real file format, for tests."""

import json
from pathlib import Path
from typing import Any

_SPECIAL_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
]  # fmt: skip
_WORDS = ["[UNK]", "\n", "user", "assistant", *(f"{blank}word{n}" for n in range(26) for blank in ("", " "))]
_WEIGHT_SCALE = 12  # large weights, so that the output depends on the image
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_language_model(folder: Path, seed: int = 0) -> Path:
    """Write a folder of a Qwen3 that reads only text, as `save_pretrained` does."""
    import torch
    import transformers as t

    words = {word: number for number, word in enumerate([*_WORDS, *_SPECIAL_TOKENS])}
    tokens = _tokens(words)
    tokens.chat_template = _TEMPLATE
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = t.Qwen3ForCausalLM(
            t.Qwen3Config(
                vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, head_dim=8, eos_token_id=words["<|im_end|>"],
            )
        )  # fmt: skip
    network.generation_config.pad_token_id = words["<|endoftext|>"]
    network.generation_config.suppress_tokens = [n for word, n in words.items() if "word" not in word]
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def save_vlm(folder: Path, kind: str = "qwen2_5_vl", seed: int = 0) -> Path:
    """Write a folder as `save_pretrained` does: configuration, random weights, tokenizer, processor.

    Args:
        kind: "qwen2_5_vl" or "qwen3_vl".
    """
    import torch

    words = {word: number for number, word in enumerate([*_WORDS, *_SPECIAL_TOKENS])}
    tokens = _tokens(words)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network, processor = _build(kind, words, tokens)
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.mul_(_WEIGHT_SCALE if value.dim() > 1 and "norm" not in name else 1)
    network.generation_config.eos_token_id = words["<|im_end|>"]
    network.generation_config.pad_token_id = words["<|endoftext|>"]
    end = words["<|im_end|>"]
    network.generation_config.suppress_tokens = [
        n for word, n in words.items() if "word" not in word and n != end
    ]
    folder.mkdir(parents=True)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == kind
    return folder


def _tokens(words: dict[str, int]) -> Any:
    """A tokenizer whose tokens are words."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = Split(Regex(r"\n| ?[^ \n]+"), behavior="isolated")
    raw.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="[UNK]", eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=_SPECIAL_TOKENS,
    )  # fmt: skip


def _build(kind: str, words: dict[str, int], tokens: Any) -> tuple[Any, Any]:
    import transformers as t

    text = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8192,
        "bos_token_id": words["<|endoftext|>"], "eos_token_id": words["<|im_end|>"],
    }  # fmt: skip
    special = {
        "image_token_id": words["<|image_pad|>"], "video_token_id": words["<|video_pad|>"],
        "vision_start_token_id": words["<|vision_start|>"], "vision_end_token_id": words["<|vision_end|>"],
    }  # fmt: skip
    if kind == "qwen2_5_vl":
        vision = {
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2,
        }  # fmt: skip
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
        config = t.Qwen2_5_VLConfig(
            text_config={**text, "rope_parameters": rope}, vision_config=vision, **special
        )
        network = t.Qwen2_5_VLForConditionalGeneration(config)
        images, videos = t.Qwen2VLImageProcessor(patch_size=14), t.Qwen2VLVideoProcessor(patch_size=14)
        processor = t.Qwen2_5_VLProcessor(images, tokens, videos, chat_template=_TEMPLATE)
    else:
        vision = {
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 64,
        }  # fmt: skip
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
        config = t.Qwen3VLConfig(
            text_config={**text, "head_dim": 8, "rope_parameters": rope}, vision_config=vision, **special
        )
        network = t.Qwen3VLForConditionalGeneration(config)
        images, videos = t.Qwen2VLImageProcessor(patch_size=16), t.Qwen3VLVideoProcessor(patch_size=16)
        processor = t.Qwen3VLProcessor(images, tokens, videos, chat_template=_TEMPLATE)
    return network, processor
