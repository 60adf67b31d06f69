"""A recurrent convolutional network: each latent frame is predicted from the two before it.

A frame that is not given is the frame before it plus the output of convolutions over the two frames before
it and its own noisy latents. The next frame reads this prediction. So the loss of a clip is that of an
unrolled prediction, and a network that predicts many frames learns what its own errors lead to.

Sources: Chiappa et al. 2017, arXiv:1704.02254, for prediction-dependent training of action-conditioned
simulators; Perez et al. 2017, arXiv:1709.07871, for the scale and shift by a condition (FiLM).
"""

import math

import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.networks.config import RAY_CHANNELS
from training.networks.embed import add_actions, build_action_embed, count_weights, sinusoidal_embedding
from training.networks.initialization import fill_truncated_normal
from training.networks.recurrent.config import CONVRNN_CONFIGS, ConvRNNConfig
from training.tensors import Latents, Timestep

_ZERO_LAYERS = (
    *("conv_out.weight", "time_embed.2.weight", "text_embed.weight", "noisy_scale.weight"),
    *("action_embed.2.weight", "camera_embed.weight"),
)

_PER_FRAME = ("embed_proj.weight", "noisy_scale.weight")


class ConvRNN(nn.Module):
    """The network of a denoiser (`training.diffusion.denoiser`).

    Latents keep their resolution, so that small objects stay exact; there is no attention. A factor of the
    noisy latents, which the timestep decides and which begins at 0, keeps noise out where it says nothing.
    Text is read as the mean of its embeddings. A frame reads its own action and camera, and it is computed
    only if a clip of the batch is not given it.

    On the meta device it has no values: shard it, call `to_empty` and then `reset_parameters`.

    Args:
        config: The shape of the network.
        seed: Seed of the initial weights.

    Attributes:
        transformer_blocks: The recurrence, to shard, checkpoint and compile.
    """

    def __init__(self, config: ConvRNNConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width, embed_dim = config.width, 4 * config.width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim)
        )
        self.text_embed = nn.Linear(config.text_embed_dim, embed_dim, bias=False)
        self.action_embed = build_action_embed(config.action_dim, embed_dim)
        self.camera_embed = None
        if config.camera_injection is not None:
            self.camera_embed = nn.Conv2d(2 * RAY_CHANNELS, width, 3, padding=1, bias=False)
        self.transformer_blocks = nn.ModuleList([Recurrence(config, embed_dim)])
        self.reset_parameters(seed)

    @torch.no_grad()
    def reset_parameters(self, seed: int = 0) -> None:
        """Initialize all weights from `seed`; the network then predicts that nothing changes.

        The values of a parameter depend on nothing but the seed and its name. Sharded parameters (DTensor)
        get their part of these values. On the meta device this does nothing.
        """
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if name.endswith((*_ZERO_LAYERS, ".bias")):
                parameter.zero_()
            else:
                fill_truncated_normal(parameter, name, seed, math.prod(parameter.shape[1:]) ** -0.5)

    def forward(self, noisy: Latents, timestep: Timestep, conditioning: Conditioning) -> Latents:
        """The output of the network, [b c t h w]; the preconditioning says what it means.

        Args:
            noisy: Noisy latents, [b c t h w].
            timestep: c_noise of the preconditioning, [b] or [b t].
            conditioning: `condition_latents` with `condition_mask`, `text_embeddings` [b n text_embed_dim],
                of which `text_mask` hides the padding, `action` [b t action_dim] with `action_mask`, `camera`
                [b 6 t h w] and `padding_mask` count where the config says so.

        Raises:
            ValueError: The channels are not those of the config, or the rays do not fit the latents.
        """
        self._check(tuple(noisy.shape))
        dtype = self.text_embed.weight.dtype
        embedding = self._embed(timestep, conditioning, noisy.shape[2], dtype)
        given, mask = conditioning.condition_latents, conditioning.condition_mask
        if given is None or mask is None:
            given, mask = torch.zeros_like(noisy), noisy.new_zeros(len(noisy), 1, *noisy.shape[2:])
        x = [noisy]
        if self.config.concat_padding_mask:
            padding, size = conditioning.padding_mask, (len(noisy), 1, *noisy.shape[2:])
            x.append(noisy.new_zeros(size) if padding is None else padding.to(noisy)[:, :, None].expand(size))
        frames: Tensor = self.transformer_blocks[0](
            torch.cat(x, 1).to(dtype),
            given.to(dtype),
            mask.bool(),
            embedding,
            self._embed_camera(noisy, conditioning, dtype),
        )
        last = conditioning.last_given() if self.config.concat_last_given else None
        return frames if last is None else frames - last.to(dtype)

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 5 or shape[1] != self.config.channels:
            raise ValueError(f"latents {shape} are not [b {self.config.channels} t h w]")

    def _embed(self, timestep: Tensor, conditioning: Conditioning, frames: int, dtype: torch.dtype) -> Tensor:
        """What each frame reads of the timestep, the text and its action, [b t e]."""
        timesteps = timestep.float() * self.config.timestep_scale
        timesteps = timesteps[:, None] if timesteps.dim() == 1 else timesteps
        embedding: Tensor = self.time_embed(sinusoidal_embedding(timesteps, self.config.width).to(dtype))
        if (text := conditioning.text_embeddings) is not None:
            mask = conditioning.text_mask
            weight = text.new_ones(text.shape[:2]) if mask is None else mask.to(text)
            mean = (text * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1)
            embedding = embedding + self.text_embed(mean.to(dtype))[:, None]
        embedding = add_actions(embedding, self.action_embed, conditioning)
        return embedding.expand(-1, frames, -1)

    def _embed_camera(self, noisy: Latents, conditioning: Conditioning, dtype: torch.dtype) -> Tensor | None:
        """What the rays of each frame and of the frame before add to its features, [b width t h w]."""
        if self.camera_embed is None or (camera := conditioning.camera) is None:
            return None
        expected = (len(noisy), RAY_CHANNELS, *noisy.shape[2:])
        if tuple(camera.shape) != expected:
            raise ValueError(f"the rays of the camera {tuple(camera.shape)} are not {expected}")
        before = torch.cat([camera[:, :, :1], camera[:, :, :-1]], 2)
        rays = torch.cat([camera, before], 1).to(dtype).transpose(1, 2)
        features: Tensor = self.camera_embed(rays.flatten(0, 1)).unflatten(0, rays.shape[:2])
        return features.transpose(1, 2)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Tokens along t, h, w of latents [b c t h w]: each latent is one."""
        self._check(shape)
        t, h, w = shape[2:]
        return t, h, w

    def flops(self, shape: tuple[int, ...], text_tokens: int = 0, has_frame_timesteps: bool = False) -> float:
        """FLOPs of a forward pass over latents [b c t h w] of which none is given: two per multiplication."""
        frames, places = shape[2], math.prod(shape[2:])
        count = places * count_weights(self.camera_embed) + (text_tokens > 0) * count_weights(self.text_embed)
        count += (frames if has_frame_timesteps else 1) * count_weights(self.time_embed)
        count += frames * count_weights(self.action_embed)
        for name, parameter in self.transformer_blocks.named_parameters():
            if parameter.dim() > 1:
                count += (frames if name.endswith(_PER_FRAME) else places) * parameter.numel()
        return 2.0 * shape[0] * count


class Recurrence(nn.Module):
    """The frames of a clip, one after another."""

    def __init__(self, config: ConvRNNConfig, embed_dim: int) -> None:
        super().__init__()
        inputs = 3 * config.channels + config.concat_padding_mask
        self.noisy_scale = nn.Linear(embed_dim, config.channels)
        self.conv_in = nn.Conv2d(inputs, config.width, 3, padding=1)
        self.layers = nn.ModuleList(ConvLayer(config.width, embed_dim) for _ in range(config.num_layers))
        self.embed_proj = nn.Linear(embed_dim, 2 * config.width)
        self.conv_out = nn.Conv2d(config.width, config.channels, 3, padding=1)

    def forward(
        self, x: Tensor, given: Tensor, mask: Tensor, embedding: Tensor, rays: Tensor | None
    ) -> Tensor:
        """Return all frames [b c t h w]: those that are given, and the predicted ones.

        Args:
            x: Noisy latents, and the padding if it is read, [b c' t h w].
            given: The given latents, [b c t h w].
            mask: True where a latent is given, [b 1 t h w].
            embedding: What each frame reads, [b t e].
            rays: What is added to the first features, [b width t h w].
        """
        embedding = nn.functional.silu(embedding)
        noisy, padding = x.tensor_split([given.shape[1]], 1)
        noisy = noisy * self.noisy_scale(embedding).transpose(1, 2)[..., None, None]
        x = torch.cat([noisy, padding], 1)
        is_given = [False] * x.shape[2]
        if not mask.is_meta:
            is_given = mask.amin((0, 1, 3, 4)).tolist()  # in all clips
        frames: list[Tensor] = []
        for i in range(x.shape[2]):
            if is_given[i]:
                frames.append(given[:, :, i])
                continue
            previous = frames[-1] if frames else torch.zeros_like(given[:, :, 0])
            before = frames[-2] if len(frames) > 1 else previous
            y = self.conv_in(torch.cat([before, previous, x[:, :, i]], 1))
            y = y if rays is None else y + rays[:, :, i]
            for layer in self.layers:
                y = layer(y, embedding[:, i])
            y = self.conv_out(modulate(y, self.embed_proj(embedding[:, i])))
            frames.append(torch.where(mask[:, :, i], given[:, :, i], previous + y))
        return torch.stack(frames, 2)


class ConvLayer(nn.Module):
    """A convolution whose input is scaled and shifted by the embedding, and added to it."""

    def __init__(self, width: int, embed_dim: int) -> None:
        super().__init__()
        self.embed_proj = nn.Linear(embed_dim, 2 * width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features [b width h w] and the embedding [b e] to features of the same shape."""
        out: Tensor = x + self.conv(modulate(x, self.embed_proj(embedding)))
        return out


def modulate(x: Tensor, modulation: Tensor) -> Tensor:
    """SiLU of features [b width h w] with the scale and shift [b 2 width]."""
    scale, shift = modulation[..., None, None].chunk(2, 1)
    return nn.functional.silu(x * (1 + scale) + shift)


__all__ = ["CONVRNN_CONFIGS", "ConvRNN", "ConvRNNConfig"]
