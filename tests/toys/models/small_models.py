"""Models of both kinds with small networks and random weights, which sample five frames in a moment."""

from pathlib import Path
from typing import Any

import torch

from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import TokenModelInfo, save_token_model
from training.diffusion.config import DiffusionConfig
from training.model import ModelInfo, save_model
from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.config import VideoDiTConfig
from training.networks.initialization import fill_truncated_normal
from training.tokenizers import tokenizer_digest
from training.world_model import WorldModel

_FPS, _GIVEN = 8.0, {"conditional_frames": [0.5, 0.5]}


def _latents(tokenizer: str, channels: int, dtype: str) -> dict[str, Any]:
    digest = tokenizer_digest(tokenizer)
    return {
        "tokenizer": tokenizer,
        "digest": digest,
        "stride": [4, 8, 8],
        "channels": channels,
        "dtype": dtype,
    }


def save_small_diffusion_model(folder: Path) -> Path:
    """A diffusion model of 32 x 24 px."""
    network = VideoDiTConfig(
        num_attention_heads=2, attention_head_dim=24, num_layers=1, text_embed_dim=24, adaln_lora_dim=8
    )
    world = WorldModel(network, DiffusionConfig(), "byte_level")
    with torch.no_grad():
        for name, parameter in world.named_parameters():
            if parameter.dim() > 1:
                fill_truncated_normal(parameter, name, 1, parameter[0].numel() ** -0.5)
    info = ModelInfo(
        network=network,
        diffusion=DiffusionConfig(),
        text_encoder={"name": "byte_level"},
        flow_shift=1.0,
        latents=_latents("small", 16, "float16"),
        fps=_FPS,
        latent_shapes=[(16, 2, 4, 4)],
        training=_GIVEN,
    )
    save_model(folder / "model.safetensors", world.state_dict(), info)
    return folder


def save_small_autoregressive_model(folder: Path) -> Path:
    """An autoregressive model of 24 x 16 px."""
    network = AutoregressiveConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=18,
        intermediate_size=32,
        text_embed_dim=32,
    )
    model = AutoregressiveModel(network, "byte_level", seed=1)
    info = TokenModelInfo(
        network=network,
        text_encoder={"name": "byte_level"},
        latents=_latents("small-discrete", 1, "uint16"),
        fps=_FPS,
        latent_shapes=[(1, 2, 2, 3)],
        training=_GIVEN,
    )
    save_token_model(folder / "model.safetensors", model.state_dict(), info)
    return folder


def save_small_diffusion_decoder(folder: Path) -> Path:
    """A diffusion decoder of the codes of `small-discrete`, which begins with the video of its decoder."""
    codes = _latents("small-discrete", 1, "uint16")
    spec = {name: codes[name] for name in ("tokenizer", "digest", "stride")} | {"codebook_size": 64000}
    network = VideoDiTConfig(
        num_attention_heads=2,
        attention_head_dim=24,
        num_layers=1,
        text_embed_dim=24,
        adaln_lora_dim=8,
        code_channels=2,
        codebook_size=64000,
        code_residual_std=(0.5,) * 16,
    )
    diffusion = DiffusionConfig("edm")
    info = ModelInfo(
        network=network,
        diffusion=diffusion,
        text_encoder={"name": "none"},
        flow_shift=1.0,
        latents=_latents("small", 16, "float16"),
        fps=_FPS,
        latent_shapes=[(16, 2, 4, 4)],
        training={},
        codes=spec,
    )
    save_model(folder / "model.safetensors", WorldModel(network, diffusion, "none").state_dict(), info)
    return folder
