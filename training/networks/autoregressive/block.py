"""A transformer block: causal self-attention, cross-attention to text, and a gated feed-forward layer.

Source: Touvron et al. 2023, arXiv:2302.13971 (pre-norm RMSNorm, SwiGLU, rotary positions); Ainslie et al.
2023, arXiv:2305.13245 (grouped queries); Dehghani et al. 2023, arXiv:2302.05442 (normalized queries, keys).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.networks.autoregressive.cache import KeyValueCache, LayerCache
from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.autoregressive.positions import Positions
from training.networks.rotary import RotaryTables, apply_rotary

EPS = 1e-5


@dataclass(frozen=True)
class BlockInputs:
    """What all blocks read, besides their input.

    Attributes:
        positions: The positions of the tokens.
        start: Place of the first token.
        causal_mask: True where a token attends to a place, [n start+n]. None: it is one token, which attends
            to all, or there are no places before these.
        text_embeddings: [b m text_embed_dim]; None if the network reads no text.
        text_mask: True for each text token that cross-attention uses, [b 1 1 m]. None: all.
        cache: Keys and values of the places before `start`.
    """

    positions: Positions
    start: int
    causal_mask: Tensor | None
    text_embeddings: Tensor | None
    text_mask: Tensor | None
    cache: KeyValueCache | None


class Block(nn.Module):
    """Source of the names: the released checkpoints of Cosmos-Predict1."""

    def __init__(self, config: AutoregressiveConfig, number: int) -> None:
        super().__init__()
        self.number = number
        width = config.hidden_size
        self.attention_norm = nn.RMSNorm(width, eps=EPS)
        self.attention = Attention(config, width)
        self.cross_attention_norm, self.cross_attention = None, None
        if config.text_embed_dim:
            self.cross_attention_norm = nn.RMSNorm(width, eps=EPS)
            self.cross_attention = Attention(config, config.text_embed_dim)
        self.ffn_norm = nn.RMSNorm(width, eps=EPS)
        self.feed_forward = FeedForward(width, config.intermediate_size)

    def forward(self, x: Tensor, inputs: BlockInputs) -> Tensor:
        """x [b n d]."""
        if inputs.positions.absolute is not None:
            x = x + inputs.positions.absolute.to(x.dtype)
        cache = None if inputs.cache is None else inputs.cache.layer(self.number)
        x = x + self.attention.attend_tokens(self.attention_norm(x), inputs, cache)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            x = x + self.cross_attention.attend_text(self.cross_attention_norm(x), inputs, cache)
        out: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return out


class Attention(nn.Module):
    """Attention with grouped queries, and normalized queries and keys. Keys are not repeated."""

    def __init__(self, config: AutoregressiveConfig, context_dim: int) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        inner, kv_inner = (
            heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.wq = nn.Linear(config.hidden_size, inner, bias=False)
        self.wk = nn.Linear(context_dim, kv_inner, bias=False)
        self.wv = nn.Linear(context_dim, kv_inner, bias=False)
        self.wo = nn.Linear(inner, config.hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=EPS)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=EPS)

    def attend_tokens(self, x: Tensor, inputs: BlockInputs, cache: LayerCache | None) -> Tensor:
        """Causal self-attention of x [b n d]."""
        rotary = inputs.positions.rotary
        q, (k, v) = self._queries(x, rotary), self._keys_values(x, rotary)
        if cache is not None:
            k, v = cache.append(inputs.start, k, v)
        is_causal = inputs.causal_mask is None and x.shape[1] > 1
        return self._attend(q, k, v, inputs.causal_mask, is_causal)

    def attend_text(self, x: Tensor, inputs: BlockInputs, cache: LayerCache | None) -> Tensor:
        """Attention of x [b n d] to the text, whose keys and values are computed once per cache."""
        if cache is not None and cache.text is not None:
            k, v = cache.text
        else:
            assert inputs.text_embeddings is not None
            k, v = self._keys_values(inputs.text_embeddings, None)
            if cache is not None:
                cache.text = k, v
        return self._attend(self._queries(x, None), k, v, inputs.text_mask, False)

    def _queries(self, x: Tensor, rotary: RotaryTables | None) -> Tensor:
        q = self.q_norm(self._split_heads(self.wq(x)))
        return (q if rotary is None else apply_rotary(q, rotary)).transpose(1, 2)

    def _keys_values(self, context: Tensor, rotary: RotaryTables | None) -> tuple[Tensor, Tensor]:
        k = self.k_norm(self._split_heads(self.wk(context)))
        k = k if rotary is None else apply_rotary(k, rotary)
        return k.transpose(1, 2), self._split_heads(self.wv(context)).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        out = nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=is_causal, enable_gqa=q.shape[1] != k.shape[1]
        )
        result: Tensor = self.wo(out.transpose(1, 2).flatten(2))
        return result

    def _split_heads(self, x: Tensor) -> Tensor:
        """[b n d] to [b n heads d/heads]."""
        return x.reshape(*x.shape[:-1], -1, self.head_dim)


class FeedForward(nn.Module):
    """w2(silu(w1 x) * w3 x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, width, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w2(nn.functional.silu(self.w1(x)) * self.w3(x))
        return out


def causal_mask(start: int, tokens: int, device: torch.device) -> Tensor | None:
    """What `tokens` tokens from the place `start` attend to, [n start+n]; None if that needs no mask."""
    if tokens == 1 or not start:
        return None
    return torch.ones(tokens, start + tokens, dtype=torch.bool, device=device).tril(start)
