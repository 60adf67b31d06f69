"""Embeddings: latents to tokens and back, and timesteps to the inputs of adaptive norms."""

import math

import torch
from torch import Tensor, nn

from training.networks.config import PATCH_SIZE
from training.tensors import Latents


class PatchEmbed(nn.Module):
    """[b c t h w] to tokens [b n d]; inside a patch the order is c, t, h, w."""

    def __init__(self, patch_values: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(patch_values, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, t, h, w = x.shape
        pt, ph, pw = PATCH_SIZE
        x = x.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
        tokens: Tensor = self.proj(x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3))
        return tokens


def unpatchify(tokens: Tensor, grid: tuple[int, int, int]) -> Latents:
    """Tokens [b n p] to [b c t h w]; inside a token the order is h, w, t, c, as in Cosmos's last layer."""
    pt, ph, pw = PATCH_SIZE
    x = tokens.reshape(len(tokens), *grid, ph, pw, pt, -1)
    x = x.permute(0, 7, 1, 6, 2, 4, 3, 5)
    return x.flatten(6).flatten(4, 5).flatten(2, 3)


class TimestepEmbed(nn.Module):
    """Embeds a timestep as normalized sinusoids, and as an offset that all adaptive norms share."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.t_embedder = TimestepOffset(width)
        self.norm = nn.RMSNorm(width, eps=1e-6)

    def forward(self, t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """t [b] to (embedding [b d], offset [b 3d])."""
        waves = sinusoidal_embedding(t, self.norm.weight.shape[0]).to(dtype)
        return self.norm(waves), self.t_embedder(waves)


class TimestepOffset(nn.Module):
    """Sinusoids [b d] to the shared offset [b 3d] of shift, scale and gate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, width, bias=False)
        self.linear_2 = nn.Linear(width, 3 * width, bias=False)

    def forward(self, waves: Tensor) -> Tensor:
        out: Tensor = self.linear_2(nn.functional.silu(self.linear_1(waves)))
        return out


def sinusoidal_embedding(t: Tensor, width: int) -> Tensor:
    """[b] to cosines then sines [b width], periods from 2 pi to 2 pi * 10 000."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000.0) / half))
    angles = t[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)
