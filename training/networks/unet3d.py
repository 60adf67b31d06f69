"""A 3-D U-Net for video latents: convolutions over time and space, and attention at the lower resolutions.

Source: Ronneberger et al. 2015, arXiv:1505.04597; Ho et al. 2020, arXiv:2006.11239, appendix B; Ho et al.
2022, arXiv:2204.03458, section 3.
"""

import math

import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.diffusion.views import join_views, num_views, split_inputs
from training.networks.config import RAY_CHANNELS
from training.networks.embed import add_actions, build_action_embed, count_weights, sinusoidal_embedding
from training.networks.initialization import fill_truncated_normal
from training.networks.multiplane.head import MultiplaneHead
from training.networks.multiview.neighbors import neighbor_rows
from training.networks.unet_block import (
    FilterHead,
    UNetBlock,
    UNetInputs,
    Upsample,
    divide,
    pad_to_multiple,
    pool_frames,
)
from training.networks.unet_config import UNET_CONFIGS, UNet3DConfig
from training.tensors import Latents, Timestep

_ZERO_LAYERS = (
    "conv_out.weight",
    "action_embed.2.weight",
    "camera_embed.weight",
    "filter_head.weights.weight",
    "filter_head.camera_proj.weight",
    "plane_head.conv_out.weight",
    "plane_head.embed.weight",
    "plane_head.gain.weight",
)


class UNet3D(nn.Module):
    """The network of a denoiser (`training.diffusion.denoiser`).

    The encoder has two downsamplings, C to 2C and 2C to 2C. Below the first one, each residual block is
    followed by attention over the whole clip and by cross-attention to the text. In the middle are a residual
    block, attention and a residual block. The decoder mirrors the encoder and reads the output of each of its
    blocks. Latents whose sides are not multiples of `config.total_stride` are padded at their end with the
    last frame, row and column; the output is cropped.

    On the meta device it has no values: shard it, call `to_empty` and then `reset_parameters`.

    Args:
        config: The shape of the network.
        seed: Seed of the initial weights.

    Attributes:
        transformer_blocks: All blocks, in the order of the forward pass, to shard, checkpoint and compile.
    """

    def __init__(self, config: UNet3DConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width, embed_dim = config.model_channels, 4 * config.model_channels
        low, middle, bottom = config.widths
        self.time_embed = nn.Sequential(
            nn.Linear(width, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim)
        )
        self.action_embed = build_action_embed(config.action_dim, embed_dim)
        self.conv_in = nn.Conv3d(config.in_channels, low, 3, padding=1)
        self.camera_embed = None
        if config.camera_dim:  # conv_in of further channels, which begins at zero
            self.camera_embed = nn.Conv3d(config.camera_dim, low, 3, padding=1, bias=False)
        self.downsamples = nn.ModuleList(
            nn.Conv3d(before, after, 3, stride, padding=1)
            for before, after, stride in zip((low, middle), (middle, bottom), config.strides, strict=True)
        )
        self.upsamples = nn.ModuleList(
            Upsample(before, after, stride)
            for before, after, stride in zip(
                (bottom, middle), (middle, low), reversed(config.strides), strict=True
            )
        )
        heads, layers = middle // config.attention_head_dim, config.layers_per_block
        encoder = [(low, low, 0)] * layers + [(middle, middle, heads)] * layers
        center = [(bottom, bottom, heads), (bottom, bottom, 0)]
        decoder = [(2 * width_out, width_out, heads) for _, width_out, heads in reversed(encoder)]
        self.transformer_blocks = nn.ModuleList(
            UNetBlock(before, after, embed_dim, config.norm_num_groups, number, config.text_embed_dim)
            for before, after, number in (*encoder, *center, *decoder)
        )
        self.norm_out = nn.GroupNorm(config.norm_num_groups, low)
        self.conv_out = nn.Conv3d(low, config.channels, 3, padding=1)
        self.filter_head = (
            FilterHead(low, config.channels, config.given_filters, config.camera_dim)
            if config.given_filters
            else None
        )
        self.plane_head = MultiplaneHead(config) if config.given_planes else None
        self.reset_parameters(seed)

    @torch.no_grad()
    def reset_parameters(self, seed: int = 0) -> None:
        """Initialize all weights from `seed`; the network then predicts zero.

        The values of a parameter depend on nothing but the seed and its name. Sharded parameters (DTensor)
        get their part of these values. On the meta device this does nothing.
        """
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            ends_branch = name.endswith((".conv2.weight", ".to_out.weight"))
            if ends_branch or name in _ZERO_LAYERS or name.endswith(".bias"):
                parameter.zero_()
            elif parameter.dim() == 1:  # the weight of a norm
                parameter.fill_(1)
            else:
                fan_in = math.prod(parameter.shape[1:])
                fill_truncated_normal(parameter, name, seed, fan_in**-0.5)

    def forward(self, noisy: Latents, timestep: Timestep, conditioning: Conditioning) -> Latents:
        """The output of the network, [b c t h w]; the preconditioning says what it means.

        Args:
            noisy: Noisy latents, [b c t h w]; of several cameras [b c (v t) h w].
            timestep: c_noise of the preconditioning, [b] or [b t].
            conditioning: `text_embeddings` [b n text_embed_dim], of which `text_mask` hides the padding.
                `action` [b t action_dim] with `action_mask`, `camera` [b 6 t h w], `condition_mask`,
                `condition_latents` and `padding_mask` count where the config says so. `view_indices` are
                needed where the config has views.

        Raises:
            ValueError: The channels are not those of the config, or the rays or views do not fit the latents.
        """
        if not self.config.views:
            return self._denoise(noisy, timestep, conditioning, None)
        inputs = split_inputs(noisy, timestep, conditioning)
        assert conditioning.view_indices is not None
        neighbors = neighbor_rows(conditioning.view_indices, self.config.views, self.config.view_neighbors)
        return join_views(self._denoise(*inputs, neighbors), num_views(conditioning))

    def _denoise(
        self,
        noisy: Latents,
        timestep: Timestep,
        conditioning: Conditioning,
        neighbors: tuple[Tensor, Tensor] | None,
    ) -> Latents:
        """`forward` for clips of one view each, of which `neighbors` are the rows of other views."""
        dtype, size = self.conv_out.weight.dtype, noisy.shape[2:]
        self._check(tuple(noisy.shape))
        x = pad_to_multiple(self._with_masks(noisy, conditioning), self.config.total_stride).to(dtype)
        inputs = self._inputs(timestep, conditioning, x.shape[2], dtype)
        layers, blocks, skips = self.config.layers_per_block, iter(self.transformer_blocks), []
        x = self.conv_in(x)
        rays = self._rays(noisy, conditioning, dtype)
        if self.camera_embed is not None and rays is not None:
            x = x + self.camera_embed(rays)
        motion = None if self.plane_head is None else self.plane_head.motion(conditioning, neighbors)
        if self.plane_head is not None and motion is not None:
            motion = pad_to_multiple(motion, self.config.total_stride).to(dtype)
            x = x + self.plane_head.embed(motion)
        for level, downsample in enumerate(self.downsamples):
            for _ in range(layers):
                x = next(blocks)(x, inputs[level])
                skips.append(x)
            x = downsample(x)
        for _ in range(2):
            x = next(blocks)(x, inputs[-1])
        for level, upsample in zip((1, 0), self.upsamples, strict=True):
            x = upsample(x)
            for _ in range(layers):
                x = next(blocks)(torch.cat([x, skips.pop()], 1), inputs[level])
        x = nn.functional.silu(self.norm_out(x))
        out: Latents = self.conv_out(x)
        last = None if self.filter_head is None else conditioning.last_given()
        if self.filter_head is not None and last is not None:
            last = pad_to_multiple(last, (1, *self.config.total_stride[1:])).to(dtype)
            out = out + self.filter_head(x, last, rays)
        if self.plane_head is not None and motion is not None:
            out = out + self.plane_head.gain(x) * motion[:, :-1]
        return out[:, :, : size[0], : size[1], : size[2]]

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 5 or shape[1] != self.config.channels:
            raise ValueError(f"latents {shape} are not [b {self.config.channels} t h w]")

    def _with_masks(self, noisy: Latents, conditioning: Conditioning) -> Tensor:
        """The latents with the further channels of the config: masks, and the last given frame."""
        parts = [noisy]
        size = (len(noisy), 1, *noisy.shape[2:])
        if self.config.concat_condition_mask:
            mask = conditioning.condition_mask
            parts.append(noisy.new_zeros(size) if mask is None else mask.to(noisy))
        if self.config.concat_padding_mask:
            mask = conditioning.padding_mask
            parts.append(noisy.new_zeros(size) if mask is None else mask.to(noisy)[:, :, None].expand(size))
        if self.config.concat_last_given:
            last = conditioning.last_given()
            parts.append(torch.zeros_like(noisy) if last is None else last.expand_as(noisy).to(noisy))
        return torch.cat(parts, 1)

    def _rays(self, noisy: Latents, conditioning: Conditioning, dtype: torch.dtype) -> Tensor | None:
        """The rays of each latent with the padding, [b camera_dim t h w]; None without a camera.

        Where the config says so, also their difference to those of the last given frame, times the latents
        of the longer side: a rotation then moves the frame by about so many latents.
        """
        if not self.config.camera_dim or (camera := conditioning.camera) is None:
            return None
        expected = (len(noisy), RAY_CHANNELS, *noisy.shape[2:])
        if tuple(camera.shape) != expected:
            raise ValueError(f"the rays of the camera {tuple(camera.shape)} are not {expected}")
        if self.config.concat_last_given:
            motion = conditioning.camera_motion()
            assert motion is not None
            camera = torch.cat([camera, max(expected[-2:]) * motion], 1)
        return pad_to_multiple(camera, self.config.total_stride).to(dtype)

    def _inputs(
        self, timestep: Tensor, conditioning: Conditioning, frames: int, dtype: torch.dtype
    ) -> list[UNetInputs]:
        """What the blocks of each of the three resolutions read; `frames` includes the padding."""
        timesteps = timestep.float() * self.config.timestep_scale
        timesteps = timesteps[:, None] if timesteps.dim() == 1 else timesteps
        waves = sinusoidal_embedding(timesteps, self.config.model_channels)
        embedding = self.time_embed(waves.to(dtype))
        embedding = add_actions(embedding, self.action_embed, conditioning)
        if 1 < embedding.shape[1] < frames:
            rest = embedding[:, -1:].expand(-1, frames - embedding.shape[1], -1)
            embedding = torch.cat([embedding, rest], 1)
        text, mask = conditioning.text_embeddings, conditioning.text_mask
        nothing = waves.new_zeros(len(waves), 1, self.config.text_embed_dim, dtype=dtype)
        if text is None:
            text, mask = nothing, None
        else:
            text = torch.cat([nothing, text.to(dtype)], 1)
            if mask is not None:
                mask = torch.cat([mask.new_ones(len(mask), 1), mask], 1).bool()[:, None, None]
        inputs = [UNetInputs(embedding, text, mask)]
        for stride in self.config.strides:
            embedding = pool_frames(embedding, stride[0])
            inputs.append(UNetInputs(embedding, text, mask))
        return inputs

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Tokens along t, h, w of latents [b c t h w]: the places of the first resolution with attention."""
        self._check(shape)
        low = divide(shape[2:], self.config.total_stride)
        t, h, w = (n * stride for n, stride in zip(low, self.config.strides[1], strict=True))
        return t, h, w

    def flops(
        self,
        shape: tuple[int, ...],
        text_tokens: int = 0,
        has_frame_timesteps: bool = False,
        num_views: int = 1,
    ) -> float:
        """FLOPs of a forward pass over latents [b c t h w]: two per multiplication in matrix products."""
        shape = (shape[0] * num_views, shape[1], shape[2] // num_views, *shape[3:])
        low = divide(shape[2:], self.config.total_stride)
        sizes = [tuple(n * stride for n, stride in zip(low, self.config.total_stride, strict=True))]
        for stride in self.config.strides:
            sizes.append(divide(sizes[-1], stride))
        layers = self.config.layers_per_block
        levels = [0] * layers + [1] * layers + [2, 2] + [1] * layers + [0] * layers
        places = [math.prod(size) for size in sizes]
        embeds = [self.time_embed, *([] if self.action_embed is None else [self.action_embed])]
        groups = [size[0] if has_frame_timesteps or len(embeds) > 1 else 1 for size in sizes]
        ends = (self.conv_in, self.conv_out, *([] if self.camera_embed is None else [self.camera_embed]))
        count = places[0] * sum(map(count_weights, ends))
        if self.filter_head is not None:
            count += self.filter_head.flops(places[0], math.prod(sizes[0][1:]))
        if self.plane_head is not None:
            count += self.plane_head.flops(places[0], (shape[3], shape[4]))
        for level in range(2):
            count += places[level + 1] * count_weights(self.downsamples[level])
            count += places[1 - level] * count_weights(self.upsamples[level])
        for level, block in zip(levels, self.transformer_blocks, strict=True):
            assert isinstance(block, UNetBlock)
            count += block.flops(places[level], groups[level], text_tokens + 1)
        for embed, frames in zip(embeds, (shape[2] if has_frame_timesteps else 1, shape[2]), strict=False):
            count += frames * count_weights(embed)
        return 2.0 * shape[0] * count


__all__ = ["UNET_CONFIGS", "UNet3D", "UNet3DConfig"]
