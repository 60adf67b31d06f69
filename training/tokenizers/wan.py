"""The tokenizer of Wan, computed by diffusers' AutoencoderKLWan.

diffusers leaves out the frames after the last 1 + 4k without a message. Here such a video is refused.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adapters.weight_files import open_weights
from training.errors import CheckpointError
from training.tensors import Video
from training.tokenizer import Stride
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.diffusers_folder import CONFIG_FILE, WAN, folder_stride
from training.tokenizers.frame_cache import FrameCache
from training.tokenizers.weights import check_keys


class WanTokenizer(CausalTokenizer):
    """Implements `training.tokenizer.Tokenizer`.

    The latents are the means of the encoder's distributions, (mean - latents_mean) / latents_std, as in
    diffusers' pipelines of Wan. Pipelines of Cosmos-Predict2 multiply them by sigma_data too; here the
    trainer does this. Decoded values are in -1..1.

    Args:
        autoencoder: diffusers' AutoencoderKLWan.
        stride: Frames and pixels per latent.
        digest: Identifies weights and architecture.

    Raises:
        ValueError: The config has not one latents_mean and latents_std per channel.
    """

    class_name = "wan"

    def __init__(self, autoencoder: Any, stride: Stride, digest: str = "") -> None:
        super().__init__(stride, autoencoder.config.z_dim, digest=digest)
        self.autoencoder = autoencoder
        for buffer, name in ((self.latent_mean, "latents_mean"), (self.latent_std, "latents_std")):
            values = autoencoder.config[name]
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values, and not {self.channels}")
            buffer.copy_(torch.tensor(values)[:, None])

    def config_dict(self) -> dict[str, Any]:
        """See `CausalTokenizer.config_dict`."""
        return dict(self.autoencoder.config)

    def encode_chunk(self, video: Video, cache: FrameCache) -> Tensor:
        """See `CausalTokenizer.encode_chunk`."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

        patch = self.autoencoder.config.patch_size
        if patch is not None:
            video = patchify(video, patch)  # type: ignore[no-untyped-call]
        sizes = [self.stride.time] * (video.shape[2] // self.stride.time)
        parts = torch.split(video, [1, *sizes] if cache.is_first() else sizes, 2)
        state = self._state(cache, "encoder")
        encoded = [self.autoencoder.encoder(part, feat_cache=state, feat_idx=[0]) for part in parts]
        moments: Tensor = self.autoencoder.quant_conv(torch.cat(encoded, 2))
        return moments[:, : self.channels]

    def decode_chunk(self, z: Tensor, cache: FrameCache) -> Video:
        """See `CausalTokenizer.decode_chunk`."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        state = self._state(cache, "decoder")
        decoded = []
        for number, part in enumerate(torch.split(self.autoencoder.post_quant_conv(z), 1, 2)):
            first = {"first_chunk": True} if cache.is_first() and not number else {}
            decoded.append(self.autoencoder.decoder(part, feat_cache=state, feat_idx=[0], **first))
        video = torch.cat(decoded, 2)
        patch = self.autoencoder.config.patch_size
        if patch is not None:
            video = unpatchify(video, patch)  # type: ignore[no-untyped-call]
        return video.clamp(-1, 1)

    def _state(self, cache: FrameCache, part: str) -> list[Any]:
        """The last frames of each convolution of the encoder or decoder, which it replaces itself."""
        if cache.is_first():
            modules = getattr(self.autoencoder, part).modules()
            cache.state = [None] * sum(type(module).__name__ == "WanCausalConv3d" for module in modules)
        return cache.state


def load_wan(folder: Path, values: Mapping[str, Any], digest: str) -> WanTokenizer:
    """Load a folder for inference, in float32, on the CPU.

    Args:
        folder: Contains the weights.
        values: The content of config.json.
        digest: Identifies weights and architecture.

    Raises:
        CheckpointError: diffusers is not installed, the config is invalid, or weights are missing, unknown or
            of another shape.
    """
    where = str(folder / CONFIG_FILE)
    try:
        from diffusers import AutoencoderKLWan
    except ImportError as error:
        raise CheckpointError(
            f"{WAN} needs diffusers", where=where, remedy="pip install diffusers"
        ) from error
    known = inspect.signature(AutoencoderKLWan.__init__).parameters
    unknown = sorted(name for name in values if not name.startswith("_") and name not in known)
    if unknown:
        raise CheckpointError(f"{WAN} of this diffusers has no {', '.join(unknown)}", where=where)
    try:
        with torch.device("meta"):
            autoencoder: Any = AutoencoderKLWan.from_config(dict(values))  # type: ignore[no-untyped-call]
        tokenizer = WanTokenizer(autoencoder, Stride(*folder_stride(folder)), digest)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"the config is invalid: {error}", where=where) from error
    weights = {name: weight.float() for name, weight in open_weights(folder).items()}
    check_keys(autoencoder.state_dict(), weights, str(folder))
    autoencoder.load_state_dict(weights, assign=True)
    return tokenizer.eval().requires_grad_(False)
