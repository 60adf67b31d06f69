"""The text encoders by name, folder or repository."""

import json
from pathlib import Path

from training.errors import SettingError
from training.text_encoder import TextEncoder
from training.text_encoders.byte_level import ByteLevelTextEncoder
from training.text_encoders.language_model import COSMOS_REASON_PROMPT, LanguageModelTextEncoder
from training.text_encoders.pretrained import import_transformers, load_pretrained
from training.text_encoders.t5 import T5TextEncoder

T5_MODEL_TYPES = ("t5", "mt5", "umt5")


def load_text_encoder(name_or_path: str, embed_dim: int, dtype: str = "bfloat16") -> TextEncoder:
    """The text encoder of a name, a folder or a repository of the Hugging Face hub.

    "byte_level" is a new `ByteLevelTextEncoder`, which must be trained. A folder of T5 gives `T5TextEncoder`.
    Another one gives `LanguageModelTextEncoder`, for Qwen2.5-VL (Cosmos-Reason1) in the way of
    Cosmos-Predict2.5.

    Args:
        name_or_path: "byte_level", or what `from_pretrained` of transformers takes.
        embed_dim: Width of text embeddings that the network takes.
        dtype: float32, float16 or bfloat16, in which a pretrained encoder computes.

    Raises:
        SettingError: The encoder has another width.
        CheckpointError: There is no such encoder.
        TrainingError: transformers is not installed.
    """
    if name_or_path == "byte_level":
        return ByteLevelTextEncoder(embed_dim)
    encoder = load_pretrained_encoder(name_or_path, dtype)
    check_width(encoder, embed_dim)
    return encoder


def check_width(encoder: TextEncoder, embed_dim: int) -> None:
    """Check that a network takes the embeddings of an encoder.

    Raises:
        SettingError: They have another width.
    """
    if encoder.embed_dim != embed_dim:
        raise SettingError(
            f"the text encoder {encoder.info['name']} has width {encoder.embed_dim},"
            f" and the network takes {embed_dim}",
            remedy=f"use a network with crossattn_proj_in_channels={encoder.embed_dim}",
        )


def load_pretrained_encoder(
    name_or_path: str, dtype: str = "bfloat16"
) -> T5TextEncoder | LanguageModelTextEncoder:
    """The pretrained text encoder of a folder or repository, of any width.

    Raises:
        CheckpointError: There is no such encoder.
        TrainingError: transformers is not installed.
    """
    model_type = _model_type(name_or_path)
    if model_type in T5_MODEL_TYPES:
        return T5TextEncoder(name_or_path, dtype=dtype)
    if model_type.startswith("qwen2_5_vl"):
        return LanguageModelTextEncoder(
            name_or_path, system_prompt=COSMOS_REASON_PROMPT, pad_to_max_length=True, dtype=dtype
        )
    return LanguageModelTextEncoder(name_or_path, dtype=dtype)


def _model_type(name_or_path: str) -> str:
    """The field model_type of config.json."""
    file = Path(name_or_path) / "config.json"
    if file.is_file():
        model_type = json.loads(file.read_text()).get("model_type")
        if model_type:
            return str(model_type)
    load = import_transformers().AutoConfig.from_pretrained
    return str(load_pretrained(load, name_or_path).model_type)
