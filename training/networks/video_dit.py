"""A diffusion transformer over video latents: full attention over time and space, told time and a caption.

The parts and the names of their parameters are those of diffusers' CosmosTransformer3DModel, without its
padding mask, learned positions and image context.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.networks import rotary
from training.networks.block import AdaptiveNorm, Attend, Block, attention
from training.networks.config import PATCH, SIZES, Config
from training.networks.embed import PatchEmbed, TimeEmbed, unpatched
from training.networks.text_tokens import LENGTH, WORDS
from training.tensors import Latents, Level, Words


def _whole(x: Tensor, axis: int) -> Tensor:
    return x


class VideoDiT(nn.Module):
    """Predicts the velocity of noisy latents.

    Attributes:
        attend: self-attention of every block; replaceable, as are `split` and `join`, to run one clip over
            many ranks. See training/README.md.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.attend: Attend = attention
        self.split: Callable[[Tensor, int], Tensor] = _whole
        self.join: Callable[[Tensor, int], Tensor] = _whole
        self.patch_embed = PatchEmbed(config.channels * math.prod(PATCH), width)
        self.time_embed = TimeEmbed(width)
        self.words_embed = nn.Embedding(WORDS, config.told)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm_out = AdaptiveNorm(width, config.low_rank, parts=2)
        self.proj_out = nn.Linear(width, config.channels * math.prod(PATCH), bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew; the network then predicts zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                deviation = module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=deviation, a=-3 * deviation, b=3 * deviation)
            elif isinstance(module, nn.RMSNorm):
                nn.init.ones_(module.weight)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
        for module in self.modules():
            if isinstance(module, AdaptiveNorm):
                nn.init.zeros_(module.linear_2.weight)
        nn.init.normal_(self.time_embed.t_embedder.linear_2.weight, std=0.02)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, noisy: Latents, t: Level, given: Words) -> Latents:
        """noisy [b c t h w], t [b], given [b n] of word numbers; gives noise - clean, [b c t h w].

        Raises:
            ValueError: height or width is odd, or the channels are not the config's.
        """
        grid = self.grid(tuple(noisy.shape))
        dtype = self.patch_embed.proj.weight.dtype
        x = self.split(self.patch_embed(noisy.to(dtype)), 1)  # [b n d]
        cos, sin = self.positions(grid, noisy.device)
        turns = self.split(cos, 0), self.split(sin, 0)
        level, offset = self.time_embed(t.float() * self.config.time_scale, dtype)
        told = self.words_embed(given)
        for block in self.transformer_blocks:
            x = block(x, level, offset, told, turns, self.attend)
        x, _ = self.norm_out(x, level, offset)
        return unpatched(self.join(self.proj_out(x), 1), grid)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Tokens along t, h, w of latents [b c t h w]."""
        _, c, t, h, w = shape
        if c != self.config.channels or h % PATCH[1] or w % PATCH[2]:
            raise ValueError(
                f"latents {shape} are not [b {self.config.channels} t h w] with h, w multiples of {PATCH[1:]}"
            )
        return t, h // PATCH[1], w // PATCH[2]

    def positions(self, grid: tuple[int, int, int], device: torch.device) -> rotary.Tables:
        """The rotations of all tokens of a clip, in their order t, h, w: cos, sin [n head_dim]."""
        return rotary.tables(rotary.positions(*grid).to(device), self.config.head_dim, self.config.stretch)

    def flops(self, shape: tuple[int, ...], words: int = LENGTH) -> float:
        """Of one forward pass over latents [b c t h w]: two per multiplication in matrix products."""
        tokens = math.prod(self.grid(shape))
        times = {"token": tokens, "word": words, "clip": 1}
        dense = sum(
            module.weight.numel() * times[_read_per(name)]
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear)
        )
        attended = 2 * self.config.blocks * tokens * (tokens + words) * self.config.width
        return 2.0 * shape[0] * (dense + attended)


def _read_per(layer: str) -> str:
    """What a linear layer of this name is applied to each of."""
    if layer.endswith(("attn2.to_k", "attn2.to_v")):
        return "word"
    return "clip" if layer.startswith("time_embed") or ".linear_" in layer else "token"


__all__ = ["SIZES", "Config", "VideoDiT"]
