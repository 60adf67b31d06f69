"""Latents to tokens and back, and a level to what adaptive norms read."""

import math

import torch
from torch import Tensor, nn

from training.networks.config import PATCH
from training.tensors import Latents


class PatchEmbed(nn.Module):
    """[b c t h w] to tokens [b n d]; inside a patch the order is c, t, h, w."""

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(values, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, t, h, w = x.shape
        pt, ph, pw = PATCH
        x = x.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
        return self.proj(x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3))


def unpatched(tokens: Tensor, grid: tuple[int, int, int]) -> Latents:
    """Tokens [b n p] to [b c t h w]; inside a token the order is h, w, t, c, as in Cosmos's last layer."""
    pt, ph, pw = PATCH
    x = tokens.reshape(len(tokens), *grid, ph, pw, pt, -1)
    x = x.permute(0, 7, 1, 6, 2, 4, 3, 5)
    return x.flatten(6).flatten(4, 5).flatten(2, 3)


class TimeEmbed(nn.Module):
    """A level to what adaptive norms read: its normed sinusoids, and an offset that all norms share."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.t_embedder = TimeOffset(width)
        self.norm = nn.RMSNorm(width, eps=1e-6)

    def forward(self, t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """t [b] to level [b d] and offset [b 3d]."""
        waves = sinusoids(t, self.norm.weight.shape[0]).to(dtype)
        return self.norm(waves), self.t_embedder(waves)


class TimeOffset(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, width, bias=False)
        self.linear_2 = nn.Linear(width, 3 * width, bias=False)

    def forward(self, waves: Tensor) -> Tensor:
        out: Tensor = self.linear_2(nn.functional.silu(self.linear_1(waves)))
        return out


def sinusoids(t: Tensor, width: int) -> Tensor:
    """[b] to cosines then sines [b width], periods from 2 pi to 2 pi * 10 000."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000.0) / half))
    angles = t[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)
