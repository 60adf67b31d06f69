"""A transformer block conditioned on a timestep and on text.

Source: Peebles & Xie 2022, arXiv:2212.09748, section 3.2 (adaptive norms with gates); Agarwal et al. 2025,
arXiv:2501.03575, section 5 (low-rank adaptive norms, cross-attention to text, normalized queries and keys).
"""

from collections.abc import Callable

from torch import Tensor, nn

from training.networks.config import VideoDiTConfig
from training.networks.rotary import RotaryTables, apply_rotary

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v [b heads n d] -> [b heads n d]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Full attention over all tokens, [b heads n d]."""
    return nn.functional.scaled_dot_product_attention(q, k, v)


class Block(nn.Module):
    """Self-attention, cross-attention to text and a feed-forward layer, each with adaptive norm and gate."""

    def __init__(self, config: VideoDiTConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = AdaptiveNorm(width, config.adaln_lora_dim, outputs=3)
        self.attn1 = Attention(config, width)
        self.norm2 = AdaptiveNorm(width, config.adaln_lora_dim, outputs=3)
        self.attn2 = Attention(config, config.text_embed_dim)
        self.norm3 = AdaptiveNorm(width, config.adaln_lora_dim, outputs=3)
        self.ff = FeedForward(width)

    def forward(
        self,
        x: Tensor,
        timestep_embed: Tensor,
        timestep_offset: Tensor,
        text_embeds: Tensor,
        rotary: RotaryTables,
        attend: Attend,
    ) -> Tensor:
        """x [b n d], timestep_embed [b d], timestep_offset [b 3d], text_embeds [b m text_embed_dim]."""
        y, gate = self.norm1(x, timestep_embed, timestep_offset)
        x = x + gate * self.attn1(y, y, rotary, attend)
        y, gate = self.norm2(x, timestep_embed, timestep_offset)
        x = x + gate * self.attn2(y, text_embeds, None, attention)
        y, gate = self.norm3(x, timestep_embed, timestep_offset)
        out: Tensor = x + gate * self.ff(y)
        return out


class Attention(nn.Module):
    """Attention with normalized queries and keys.

    Source: Dehghani et al. 2023, arXiv:2302.05442, section 2.
    """

    def __init__(self, config: VideoDiTConfig, context_dim: int) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.to_q = nn.Linear(config.width, config.width, bias=False)
        self.to_k = nn.Linear(context_dim, config.width, bias=False)
        self.to_v = nn.Linear(context_dim, config.width, bias=False)
        self.norm_q = nn.RMSNorm(config.attention_head_dim, eps=1e-6)
        self.norm_k = nn.RMSNorm(config.attention_head_dim, eps=1e-6)
        self.to_out = nn.ModuleList([nn.Linear(config.width, config.width, bias=False)])

    def forward(self, x: Tensor, context: Tensor, rotary: RotaryTables | None, attend: Attend) -> Tensor:
        """Queries come from x [b n d], keys and values from context [b m context_dim]."""
        q, k, v = (self._split_heads(y) for y in (self.to_q(x), self.to_k(context), self.to_v(context)))
        q, k = self.norm_q(q), self.norm_k(k)
        if rotary is not None:
            q, k = apply_rotary(q, rotary), apply_rotary(k, rotary)
        out: Tensor = self.to_out[0](attend(q, k, v).transpose(1, 2).flatten(2))
        return out

    def _split_heads(self, x: Tensor) -> Tensor:
        """[b n d] to [b heads n d/heads]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class AdaptiveNorm(nn.Module):
    """Layer norm with shift, scale and (of 3 outputs) a gate, from the timestep through a low-rank map."""

    def __init__(self, width: int, adaln_lora_dim: int, outputs: int) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.linear_1 = nn.Linear(width, adaln_lora_dim, bias=False)
        self.linear_2 = nn.Linear(adaln_lora_dim, outputs * width, bias=False)

    def forward(self, x: Tensor, timestep_embed: Tensor, timestep_offset: Tensor) -> tuple[Tensor, Tensor]:
        """The normalized x, and its gate (with 2 outputs: the scale again)."""
        modulation = self.linear_2(self.linear_1(nn.functional.silu(timestep_embed)))
        modulation = modulation + timestep_offset[:, : self.outputs * self.width]
        shift, scale, *gate = modulation[:, None].chunk(self.outputs, -1)
        normalized = nn.functional.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale) + shift
        return normalized, gate[0] if gate else scale


class FeedForward(nn.Module):
    """A linear layer to four times the width, GELU, and a linear layer back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [GeluProjection(width), nn.Identity(), nn.Linear(4 * width, width, bias=False)]
        self.net = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class GeluProjection(nn.Module):
    """A linear layer to four times the width, then GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 4 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.proj(x))
