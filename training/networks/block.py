"""A transformer block that is told time and a caption.

Source: Peebles & Xie 2022, arXiv:2212.09748, section 3.2 (adaptive norms with gates); Agarwal et al. 2025,
arXiv:2501.03575, section 5 (norms read through a low rank, attention to text, normed queries and keys).
"""

from collections.abc import Callable

from torch import Tensor, nn

from training.networks import rotary
from training.networks.config import Config

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v [b heads n d] -> [b heads n d]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Plain attention over all tokens, [b heads n d]."""
    return nn.functional.scaled_dot_product_attention(q, k, v)


class Block(nn.Module):
    """Attention to all tokens, attention to the caption, a layer per token; each normed and gated by time."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.norm1 = AdaptiveNorm(width, config.low_rank, parts=3)
        self.attn1 = Attention(config, width)
        self.norm2 = AdaptiveNorm(width, config.low_rank, parts=3)
        self.attn2 = Attention(config, config.told)
        self.norm3 = AdaptiveNorm(width, config.low_rank, parts=3)
        self.ff = FeedForward(width)

    def forward(
        self, x: Tensor, level: Tensor, offset: Tensor, told: Tensor, turns: rotary.Tables, attend: Attend
    ) -> Tensor:
        """x [b n d], level [b d], offset [b 3d], told [b m told]."""
        y, gate = self.norm1(x, level, offset)
        x = x + gate * self.attn1(y, y, turns, attend)
        y, gate = self.norm2(x, level, offset)
        x = x + gate * self.attn2(y, told, None, attention)
        y, gate = self.norm3(x, level, offset)
        return x + gate * self.ff(y)


class Attention(nn.Module):
    """Attention with normed queries and keys. Source: Dehghani et al. 2023, arXiv:2302.05442, section 2."""

    def __init__(self, config: Config, told: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.to_q = nn.Linear(config.width, config.width, bias=False)
        self.to_k = nn.Linear(told, config.width, bias=False)
        self.to_v = nn.Linear(told, config.width, bias=False)
        self.norm_q = nn.RMSNorm(config.head_dim, eps=1e-6)
        self.norm_k = nn.RMSNorm(config.head_dim, eps=1e-6)
        self.to_out = nn.ModuleList([nn.Linear(config.width, config.width, bias=False)])

    def forward(self, x: Tensor, told: Tensor, turns: rotary.Tables | None, attend: Attend) -> Tensor:
        """x [b n d] asks, told [b m told] answers."""
        q, k, v = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in self._read(x, told))
        q, k = self.norm_q(q), self.norm_k(k)
        if turns is not None:
            q, k = rotary.rotate(q, turns), rotary.rotate(k, turns)
        out: Tensor = self.to_out[0](attend(q, k, v).transpose(1, 2).flatten(2))
        return out

    def _read(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.to_q(x), self.to_k(told), self.to_v(told)


class AdaptiveNorm(nn.Module):
    """Layer norm, then shift, scale and (of 3 parts) a gate, read from the level through a low rank."""

    def __init__(self, width: int, low_rank: int, parts: int) -> None:
        super().__init__()
        self.parts, self.width = parts, width
        self.linear_1 = nn.Linear(width, low_rank, bias=False)
        self.linear_2 = nn.Linear(low_rank, parts * width, bias=False)

    def forward(self, x: Tensor, level: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """The normed x, and its gate (the scale again where there is none)."""
        told = self.linear_2(self.linear_1(nn.functional.silu(level))) + offset[:, : self.parts * self.width]
        shift, scale, *gate = told[:, None].chunk(self.parts, -1)
        normed = nn.functional.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale) + shift
        return normed, gate[0] if gate else scale


class FeedForward(nn.Module):
    """Wider by four, GELU, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([Widen(width), nn.Identity(), nn.Linear(4 * width, width, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class Widen(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 4 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.proj(x))
