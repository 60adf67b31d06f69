"""A diffusion transformer for video latents: full attention over space and time, timestep and text inputs.

It is the network of Cosmos-Predict1, Predict2 and Predict2.5. The names of its parameters are those of
diffusers' CosmosTransformer3DModel. Source: Agarwal et al. 2025, arXiv:2501.03575, section 5.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.diffusion.views import join_views, num_views, split_inputs
from training.networks.block import AdaptiveNorm, Block, BlockInputs
from training.networks.config import MODEL_CONFIGS, PATCH_SIZE, RAY_CHANNELS, VideoDiTConfig
from training.networks.embed import (
    ActionEmbed,
    CodeEmbed,
    LearnablePosEmbed,
    PatchEmbed,
    TimestepEmbed,
    ViewEmbed,
    patchify,
    unpatchify,
)
from training.networks.initialization import fill_lattice, fill_truncated_normal
from training.networks.multiview.neighbors import neighbor_attention
from training.networks.rotary import RotaryTables, rotary_tables, token_positions
from training.networks.token_share import Attend, Grid, TokenShare, group_frames, whole_clip
from training.tensors import Latents, Timestep

_ZERO_LAYERS = (
    *("action_embed.linear_2.weight", "trajectory_embed.linear_2.weight", "camera_embed.weight"),
    *("camera_proj.weight", "view_embed.linear.weight", "cross_view_attn.to_out.0.weight"),
)


class VideoDiT(nn.Module):
    """The network of a denoiser (`training.diffusion.denoiser`).

    On the meta device it has no values: shard it, call `to_empty` and then `reset_parameters`.

    Args:
        config: The shape of the network.
        seed: Seed of the initial weights.

    Attributes:
        share_tokens: The tokens that this process computes; replace it to run one clip on several ranks. See
            training/README.md.
    """

    def __init__(self, config: VideoDiTConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width, patch = config.width, math.prod(PATCH_SIZE)
        self.share_tokens: Callable[[Grid], TokenShare] = whole_clip
        self.patch_embed = PatchEmbed(config.in_channels * patch, width)
        self.learnable_pos_embed = None
        if config.extra_pos_embed_type == "learnable":
            self.learnable_pos_embed = LearnablePosEmbed(config.max_size, width)
        self.code_embed = None
        if config.code_channels:
            self.code_embed = CodeEmbed(config.codebook_size, config.code_channels)
        self.camera_embed = None
        if config.camera_injection == "channels":
            self.camera_embed = nn.Linear(RAY_CHANNELS * patch, width, bias=False)
        self.time_embed = TimestepEmbed(width)
        self.action_embed = ActionEmbed(config.action_dim, width) if config.action_dim else None
        self.trajectory_embed = ActionEmbed(config.trajectory_dim, width) if config.trajectory_dim else None
        self.view_embed = ViewEmbed(len(config.views), width) if config.views else None
        self.crossattn_proj = None
        if config.crossattn_proj_in_channels is not None:
            text_linear = nn.Linear(config.crossattn_proj_in_channels, config.text_embed_dim)
            self.crossattn_proj = nn.Sequential(text_linear, nn.GELU())
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm_out = AdaptiveNorm(width, config.adaln_lora_dim, outputs=2)
        self.proj_out = nn.Linear(width, config.channels * patch, bias=False)
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
            is_modulation = "norm" in name and name.endswith(".linear_2.weight")
            if is_modulation or name == "proj_out.weight" or name.endswith((".bias", *_ZERO_LAYERS)):
                parameter.zero_()
            elif name == "code_embed.embedding.weight" and self.config.code_levels:
                fill_lattice(parameter, name, seed, self.config.code_levels)
            elif parameter.dim() == 1:  # the weight of a norm
                parameter.fill_(1)
            else:
                is_small = name.startswith(("learnable_pos_embed", "time_embed.t_embedder.linear_2"))
                std = 0.02 if is_small else parameter.shape[1] ** -0.5
                fill_truncated_normal(parameter, name, seed, std)

    def forward(self, noisy: Latents, timestep: Timestep, conditioning: Conditioning) -> Latents:
        """The output of the network, [b c t h w]; the preconditioning says what it means.

        Args:
            noisy: Noisy latents, [b c t h w]; of several cameras [b c (v t) h w].
            timestep: c_noise of the preconditioning, [b] or [b t].
            conditioning: `text_embeddings` [b n text_input_dim]; without them the text is one token of zeros.
                `condition_mask`, `padding_mask`, `text_mask`, `fps`, `codes`, `code_latents`, `action`,
                `camera` and `trajectory` count where the config says so; without them all latents are
                generated, there is no padding, frames are positions, and nothing else is known.
                `view_indices` are needed where the config has views.

        Raises:
            ValueError: Height or width is odd, the channels are not those of the config, the latents are
                larger than the learned positions, or actions, rays or views do not fit the latents.
        """
        if not self.config.views:
            return self._denoise(noisy, timestep, conditioning, None)
        inputs, views = split_inputs(noisy, timestep, conditioning), num_views(conditioning)
        assert conditioning.view_indices is not None
        attend = neighbor_attention(
            conditioning.view_indices, self.config.views, self.config.view_neighbors, noisy.shape[2] // views
        )
        return join_views(self._denoise(*inputs, attend), views)

    def _denoise(
        self, noisy: Latents, timestep: Timestep, conditioning: Conditioning, attend_neighbors: Attend | None
    ) -> Latents:
        """`forward` for clips of one view each."""
        grid = self.grid(tuple(noisy.shape))
        dtype = self.proj_out.weight.dtype
        share = self.share_tokens(grid)
        x = share.split(self.patch_embed(self._with_channels(noisy, conditioning).to(dtype)), 1)  # [b n d]
        rays = self._rays(noisy, conditioning, share)
        if self.camera_embed is not None and rays is not None:
            x = x + self.camera_embed(rays)
        if self.config.fp32_residual:
            x = x.float()
        inputs = self._block_inputs(x, grid, share, timestep.float(), conditioning)
        camera = rays if self.camera_embed is None else None
        inputs = replace(inputs, camera=camera, attend_neighbors=attend_neighbors)
        for block in self.transformer_blocks:
            x = block(x, inputs)
        x, _ = self.norm_out(x, inputs, dtype)
        return unpatchify(share.join(self.proj_out(x)), grid)

    def _with_channels(self, noisy: Latents, conditioning: Conditioning) -> Tensor:
        """The latents with the further channels of the config: masks, codes and their latents."""
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
        if self.code_embed is not None:
            parts.append(self.code_embed(conditioning.codes, size))
        if self.config.code_residual_std:
            latents = conditioning.code_latents
            parts.append(torch.zeros_like(noisy) if latents is None else latents.to(noisy))
        return torch.cat(parts, 1) if len(parts) > 1 else noisy

    def _rays(self, noisy: Latents, conditioning: Conditioning, share: TokenShare) -> Tensor | None:
        """The rays of the patches of this process, [b n p]; None without a camera."""
        if self.config.camera_injection is None or (camera := conditioning.camera) is None:
            return None
        expected = (len(noisy), RAY_CHANNELS, *noisy.shape[2:])
        if tuple(camera.shape) != expected:
            raise ValueError(f"the rays of the camera {tuple(camera.shape)} are not {expected}")
        return share.split(patchify(camera.to(self.proj_out.weight.dtype)), 1)

    def _embed_time(
        self, timestep: Tensor, grid: Grid, share: TokenShare, conditioning: Conditioning, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The embedding [b f d] and the offset [b f 3d] of timestep, actions, trajectory and view."""
        action, trajectory, others = conditioning.action, conditioning.trajectory, []
        if self.action_embed is not None and action is not None:
            expected = (len(timestep), grid[0], self.config.action_dim)
            if tuple(action.shape) != expected:
                raise ValueError(f"actions {tuple(action.shape)} are not {expected}")
            timestep = timestep.view(len(timestep), -1).expand(-1, grid[0])
            frames = group_frames(grid, share, timestep.device)
            others.append(self.action_embed(action, conditioning.action_mask, frames, dtype))
        if self.trajectory_embed is not None and trajectory is not None:
            mask, zero = (
                conditioning.trajectory_mask,
                torch.zeros(1, dtype=torch.long, device=timestep.device),
            )
            mask = timestep.new_ones(len(trajectory)) if mask is None else mask
            others.append(self.trajectory_embed(trajectory[:, None], mask[:, None], zero, dtype))
        if self.view_embed is not None and conditioning.view_indices is not None:
            others.append(self.view_embed(conditioning.view_indices, dtype))
        timesteps = timestep[:, None]
        if timestep.dim() == 2:
            timesteps = timestep[:, group_frames(grid, share, timestep.device)]
        embed: tuple[Tensor, Tensor] = self.time_embed(timesteps * self.config.timestep_scale, dtype, others)
        return embed

    def _block_inputs(
        self, x: Tensor, grid: Grid, share: TokenShare, timestep: Tensor, conditioning: Conditioning
    ) -> BlockInputs:
        """What blocks read besides `x`, the tokens of this process."""
        cos, sin = self.rotary_tables(grid, x.device, conditioning.fps)
        positions = None
        if self.learnable_pos_embed is not None:
            positions = share.split(self.learnable_pos_embed(grid).to(x.dtype), 1)
        timestep_embed, timestep_offset = self._embed_time(timestep, grid, share, conditioning, x.dtype)
        text, mask = conditioning.text_embeddings, conditioning.text_mask
        if text is None:
            text, mask = x.new_zeros(len(x), 1, self.config.text_input_dim), None
        text = text.to(self.proj_out.weight.dtype)
        if self.crossattn_proj is not None:
            text = self.crossattn_proj(text)
        if mask is not None and self.config.mask_text:
            is_used = mask.bool()
            mask = (is_used | ~is_used.any(1, keepdim=True))[:, None, None]  # attention needs one token
        else:
            mask = None
        rotary = share.split(cos, 1), share.split(sin, 1)
        return BlockInputs(timestep_embed, timestep_offset, text, mask, rotary, positions, share.attend)

    def grid(self, shape: tuple[int, ...]) -> Grid:
        """Tokens along t, h, w of latents [b c t h w]."""
        _, c, t, h, w = shape
        if c != self.config.channels or h % PATCH_SIZE[1] or w % PATCH_SIZE[2]:
            raise ValueError(
                f"latents {shape} are not [b {self.config.channels} t h w] with h, w multiples of"
                f" {PATCH_SIZE[1:]}"
            )
        return t, h // PATCH_SIZE[1], w // PATCH_SIZE[2]

    def rotary_tables(self, grid: Grid, device: torch.device, fps: Tensor | None = None) -> RotaryTables:
        """The rotations of all tokens in their order t, h, w: cos, sin [b n head_dim/2].

        Without `fps` [b], or without `base_fps` in the config, the first axis is 1.
        """
        positions = token_positions(*grid).to(device)[None].float()
        if fps is not None and self.config.base_fps is not None:
            times = positions[..., 0] / fps.to(positions)[:, None] * self.config.base_fps
            positions = torch.cat([times[..., None], positions[..., 1:].expand(len(fps), -1, -1)], -1)
        return rotary_tables(positions, self.config.attention_head_dim, self.config.rope_scale)

    def flops(
        self,
        shape: tuple[int, ...],
        text_tokens: int = 0,
        has_frame_timesteps: bool = False,
        num_views: int = 1,
    ) -> float:
        """FLOPs of a forward pass over latents [b c t h w]: two per multiplication in matrix products.

        Of several views, all have the most neighbors that a camera has.
        """
        b, c, frames, h, w = shape
        b, frames = b * num_views, frames // num_views
        tokens = math.prod(self.grid((b, c, frames, h, w)))
        ends = [name for pair in self.config.view_neighbors for name in pair]
        neighbors = min(num_views - 1, max(map(ends.count, ends), default=0))
        counts = {
            "token": tokens,
            "text_token": max(text_tokens, 1),
            "timestep": frames if has_frame_timesteps or self.action_embed is not None else 1,
            "clip": 1,
        }
        counts |= {
            f"neighbor{end}": n * bool(neighbors)
            for end, n in (("", tokens), ("_timestep", counts["timestep"]))
        }
        linear = sum(
            module.weight.numel() * counts[_input_of(name)]
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear)
        )
        keys = tokens + max(text_tokens, 1) + neighbors * tokens // frames
        attended = 2 * self.config.num_layers * tokens * keys * self.config.width
        return 2.0 * b * (linear + attended)


def _input_of(layer: str) -> str:
    """What the linear layer of this name is applied to: each token, text_token, timestep, and so on."""
    if layer.startswith(("view_embed", "trajectory_embed")):
        return "clip"
    if "cross_view" in layer:
        return "neighbor_timestep" if ".linear_" in layer else "neighbor"
    if layer.endswith(("attn2.to_k", "attn2.to_v")) or layer.startswith("crossattn_proj"):
        return "text_token"
    return "timestep" if layer.startswith("time_embed") or ".linear_" in layer else "token"


__all__ = ["MODEL_CONFIGS", "VideoDiT", "VideoDiTConfig"]
