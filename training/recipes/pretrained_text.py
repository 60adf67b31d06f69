"""The text encoder of a model: one that was trained with it, or a pretrained one outside of it."""

from typing import Any

from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import TokenModelInfo
from training.data.shards import LatentShards
from training.errors import CheckpointError
from training.model import ModelInfo
from training.text_encoder import TextEncoder
from training.text_encoders.precomputed import PrecomputedTextEncoder
from training.text_encoders.registry import check_width, load_text_encoder
from training.world_model import WorldModel

TRAINED = ("byte_level", "none")  # text encoders without pretrained weights
PRECOMPUTED = "precomputed"  # the text embeddings of the shards


def open_text_encoder(
    name_or_path: str, model: WorldModel | AutoregressiveModel, shards: LatentShards
) -> TextEncoder | None:
    """The text encoder of a training: that of the model, a pretrained one, that of the shards, or None.

    Args:
        name_or_path: A name, a folder, or a repository of a hub.
        model: The model.
        shards: Their text embeddings are read if the name is "precomputed".

    Raises:
        SettingError: The encoder has another width than the network takes.
        CheckpointError: There is no such encoder.
        TrainingError: transformers is not installed.
    """
    encoder: TextEncoder | None
    if name_or_path in TRAINED:
        encoder = model.text_encoder
    elif name_or_path == PRECOMPUTED:
        encoder = PrecomputedTextEncoder(shards.read_text())
        check_width(encoder, model.network.config.text_input_dim)
    else:
        encoder = load_text_encoder(name_or_path, model.network.config.text_input_dim)
    return _with_padding(encoder, model)


def reopen_text_encoder(
    name_or_path: str,
    model: WorldModel | AutoregressiveModel,
    info: ModelInfo | TokenModelInfo,
    shards: LatentShards | None = None,
) -> TextEncoder | None:
    """The text encoder that a model was trained with, or None.

    Args:
        name_or_path: Where a pretrained encoder is; "" takes the recorded place.
        model: The model.
        info: Its metadata.
        shards: Shards whose text embeddings are read, if they are of the encoder of the training and
            `name_or_path` is "".

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
        return _with_padding(model.text_encoder, model)
    expected = encoder_identity(info.text_encoder)
    if shards is not None and shards.text_encoder is not None and not name_or_path:
        stored = PrecomputedTextEncoder(shards.text_encoder)
        if encoder_identity(stored.info) == expected:
            shards.read_text()
            return _with_padding(stored, model)
    width = model.network.config.text_input_dim
    encoder = _with_padding(load_text_encoder(name_or_path or recorded, width), model)
    found = {} if encoder is None else encoder_identity(encoder.info)
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


def _with_padding(encoder: TextEncoder | None, model: WorldModel | AutoregressiveModel) -> TextEncoder | None:
    """The encoder, which gives batches of one length to a network that attends to padding."""
    if encoder is not None:
        encoder.min_length = 0 if model.network.config.mask_text else encoder.max_length
    return encoder


def encoder_identity(info: Any) -> dict[str, Any]:
    """What identifies a text encoder: all its metadata, but of pretrained weights not their place."""
    return {name: value for name, value in info.items() if name != "name" or "digest" not in info}
