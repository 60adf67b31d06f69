"""The text encoder of a model: one that was trained with it, or a pretrained one outside of it."""

from typing import Any

from training.errors import CheckpointError
from training.model import ModelInfo
from training.text_encoder import TextEncoder
from training.text_encoders.registry import load_text_encoder
from training.world_model import WorldModel

TRAINED = ("byte_level", "none")  # text encoders without pretrained weights


def open_text_encoder(name_or_path: str, model: WorldModel) -> TextEncoder | None:
    """The text encoder of a training: that of the model, a pretrained one, or None.

    Raises:
        SettingError: The encoder has another width than the network takes.
        CheckpointError: There is no such encoder.
        TrainingError: transformers is not installed.
    """
    if name_or_path in TRAINED:
        return model.text_encoder
    return load_text_encoder(name_or_path, model.network.config.text_input_dim)


def reopen_text_encoder(name_or_path: str, model: WorldModel, info: ModelInfo) -> TextEncoder | None:
    """The text encoder that a model was trained with, or None.

    Args:
        name_or_path: Where a pretrained encoder is; "" takes the recorded place.
        model: The model.
        info: Its metadata.

    Raises:
        CheckpointError: There is no such encoder, or it is not the one of the training.
        TrainingError: transformers is not installed.
    """
    recorded = info.text_encoder["name"]
    if recorded in TRAINED:
        if name_or_path not in ("", recorded):
            raise CheckpointError(
                f"the model was trained with the text encoder {recorded}, not with {name_or_path}",
                remedy="leave text_encoder out",
            )
        return model.text_encoder
    encoder = open_text_encoder(name_or_path or recorded, model)
    found = {} if encoder is None else encoder_identity(encoder.info)
    expected = encoder_identity(info.text_encoder)
    if found != expected:
        digest = found.get("digest", "")[:12]
        same_weights = digest == expected.get("digest", "")[:12]
        raise CheckpointError(
            "the text encoder is not the one that the model was trained with",
            where=f"{name_or_path or recorded} has "
            + ("the same weights and other settings" if same_weights else f"digest {digest or 'none'}"),
            remedy=f"give the text encoder with digest {expected.get('digest', '')[:12]}, as {recorded} had",
        )
    return encoder


def encoder_identity(info: Any) -> dict[str, Any]:
    """What identifies a text encoder: all its metadata, but of pretrained weights not their place."""
    return {name: value for name, value in info.items() if name != "name" or "digest" not in info}
