"""A diffusion transformer for video latents: full attention over space and time, timestep and text inputs.

The modules and the names of their parameters are those of diffusers' CosmosTransformer3DModel, without its
padding mask, learned positions and image context.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.networks.block import AdaptiveNorm, Attend, Block, attention
from training.networks.config import MODEL_CONFIGS, PATCH_SIZE, VideoDiTConfig
from training.networks.embed import PatchEmbed, TimestepEmbed, unpatchify
from training.networks.rotary import RotaryTables, rotary_tables, token_positions
from training.networks.text_tokens import MAX_TOKENS, VOCAB_SIZE
from training.tensors import Latents, TextTokens, Timestep


def _identity(x: Tensor, axis: int) -> Tensor:
    return x


class VideoDiT(nn.Module):
    """Predicts the velocity of noisy latents.

    Attributes:
        attend: Self-attention of every block. It can be replaced, as can `split` and `join`, to run one clip
            on several ranks. See training/README.md.
    """

    def __init__(self, config: VideoDiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.attend: Attend = attention
        self.split: Callable[[Tensor, int], Tensor] = _identity
        self.join: Callable[[Tensor, int], Tensor] = _identity
        self.patch_embed = PatchEmbed(config.channels * math.prod(PATCH_SIZE), width)
        self.time_embed = TimestepEmbed(width)
        self.words_embed = nn.Embedding(VOCAB_SIZE, config.text_embed_dim)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm_out = AdaptiveNorm(width, config.adaln_lora_dim, outputs=2)
        self.proj_out = nn.Linear(width, config.channels * math.prod(PATCH_SIZE), bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize all weights; the network then predicts zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=std, a=-3 * std, b=3 * std)
            elif isinstance(module, nn.RMSNorm):
                nn.init.ones_(module.weight)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
        for module in self.modules():
            if isinstance(module, AdaptiveNorm):
                nn.init.zeros_(module.linear_2.weight)
        nn.init.normal_(self.time_embed.t_embedder.linear_2.weight, std=0.02)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, noisy: Latents, t: Timestep, text_tokens: TextTokens) -> Latents:
        """Predict the velocity (noise - clean), [b c t h w].

        Args:
            noisy: Noisy latents, [b c t h w].
            t: Timesteps, [b].
            text_tokens: Token ids of the captions, [b n].

        Raises:
            ValueError: Height or width is odd, or the channels are not those of the config.
        """
        grid = self.grid(tuple(noisy.shape))
        dtype = self.patch_embed.proj.weight.dtype
        x = self.split(self.patch_embed(noisy.to(dtype)), 1)  # [b n d]
        cos, sin = self.rotary_tables(grid, noisy.device)
        rotary = self.split(cos, 0), self.split(sin, 0)
        timestep_embed, timestep_offset = self.time_embed(t.float() * self.config.timestep_scale, dtype)
        text_embeds = self.words_embed(text_tokens)
        for block in self.transformer_blocks:
            x = block(x, timestep_embed, timestep_offset, text_embeds, rotary, self.attend)
        x, _ = self.norm_out(x, timestep_embed, timestep_offset)
        return unpatchify(self.join(self.proj_out(x), 1), grid)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Tokens along t, h, w of latents [b c t h w]."""
        _, c, t, h, w = shape
        if c != self.config.channels or h % PATCH_SIZE[1] or w % PATCH_SIZE[2]:
            raise ValueError(
                f"latents {shape} are not [b {self.config.channels} t h w] with h, w multiples of"
                f" {PATCH_SIZE[1:]}"
            )
        return t, h // PATCH_SIZE[1], w // PATCH_SIZE[2]

    def rotary_tables(self, grid: tuple[int, int, int], device: torch.device) -> RotaryTables:
        """The rotations of all tokens of a clip, in their order t, h, w: cos, sin [n head_dim]."""
        positions = token_positions(*grid).to(device)
        return rotary_tables(positions, self.config.attention_head_dim, self.config.rope_scale)

    def flops(self, shape: tuple[int, ...], text_tokens: int = MAX_TOKENS) -> float:
        """FLOPs of a forward pass over latents [b c t h w]: two per multiplication in matrix products."""
        tokens = math.prod(self.grid(shape))
        counts = {"token": tokens, "text_token": text_tokens, "clip": 1}
        linear = sum(
            module.weight.numel() * counts[_input_of(name)]
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear)
        )
        attended = 2 * self.config.num_layers * tokens * (tokens + text_tokens) * self.config.width
        return 2.0 * shape[0] * (linear + attended)


def _input_of(layer: str) -> str:
    """What the linear layer of this name is applied to: each token, text_token or clip."""
    if layer.endswith(("attn2.to_k", "attn2.to_v")):
        return "text_token"
    return "clip" if layer.startswith("time_embed") or ".linear_" in layer else "token"


__all__ = ["MODEL_CONFIGS", "VideoDiT", "VideoDiTConfig"]
