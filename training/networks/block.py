"""A transformer block conditioned on a timestep and on text.

Source: Peebles & Xie 2022, arXiv:2212.09748, section 3.2 (adaptive norms with gates); Agarwal et al. 2025,
arXiv:2501.03575, section 5 (low-rank adaptive norms, cross-attention to text, normalized queries and keys).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.networks.config import PATCH_SIZE, RAY_CHANNELS, VideoDiTConfig
from training.networks.embed import linear
from training.networks.recompute import linear_of_gelu, modulated_norm, rotated_norm
from training.networks.rotary import RotaryTables
from training.networks.token_share import Attend, attention


@dataclass(frozen=True)
class BlockInputs:
    """What all blocks read, besides their input.

    The tokens are f groups of n/f tokens that follow each other: one group, or one per frame or part of a
    frame if frames have timesteps of their own.

    Attributes:
        timestep_embed: Embedding of the timestep of each group, [b f d].
        timestep_offset: Offset of shift, scale and gate of all adaptive norms, [b f 3d].
        text_embeddings: [b m text_embed_dim].
        text_mask: True for each text token that cross-attention uses, [b 1 1 m]. None: all.
        rotary: The rotations of the tokens.
        position_embed: Added to the input of each block, [1 n d]; or None.
        attend: Self-attention.
        camera: Rays of the patch of each token, [b n p], for blocks that read them; or None.
        attend_neighbors: Attention to the other views of a clip, where b are the views of all clips; or None.
    """

    timestep_embed: Tensor
    timestep_offset: Tensor
    text_embeddings: Tensor
    text_mask: Tensor | None
    rotary: RotaryTables
    position_embed: Tensor | None
    attend: Attend
    camera: Tensor | None = None
    attend_neighbors: Attend | None = None


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
        self.camera_proj = None
        if config.camera_injection == "block":
            self.camera_proj = nn.Linear(RAY_CHANNELS * math.prod(PATCH_SIZE), width, bias=False)
        self.cross_view_attn = None
        if config.view_neighbors:
            self.norm_cross_view = AdaptiveNorm(width, config.adaln_lora_dim, outputs=2)
            self.cross_view_attn = Attention(config, width)

    def forward(self, x: Tensor, inputs: BlockInputs) -> Tensor:
        """x [b n d]."""
        if inputs.position_embed is not None:
            x = x + inputs.position_embed
        y, gate = self.norm1(x, inputs, self.dtype)
        if self.camera_proj is not None and inputs.camera is not None:
            y = y + self.camera_proj(inputs.camera)
        x = add_gated(x, gate, self.attn1(y, y, inputs.rotary, inputs.attend))
        if self.cross_view_attn is not None and inputs.attend_neighbors is not None:
            y, _ = self.norm_cross_view(x, inputs, self.dtype)
            x = x + self.cross_view_attn(y, y, inputs.rotary, inputs.attend_neighbors).to(x.dtype)
        y, gate = self.norm2(x, inputs, self.dtype)
        x = add_gated(x, gate, self.attn2(y, inputs.text_embeddings, None, self._attend_text(inputs)))
        y, gate = self.norm3(x, inputs, self.dtype)
        return add_gated(x, gate, self.ff(y))

    @property
    def dtype(self) -> torch.dtype:
        """The type that the layers compute in."""
        return self.attn1.norm_q.weight.dtype

    @staticmethod
    def _attend_text(inputs: BlockInputs) -> Attend:
        mask = inputs.text_mask
        if mask is None:
            return attention
        return lambda q, k, v: nn.functional.scaled_dot_product_attention(q, k, v, mask)


def add_gated(x: Tensor, gate: Tensor, y: Tensor) -> Tensor:
    """x + gate * y for x, y [b n d] and gate [b f 1 d], in the dtype of x."""
    if gate.shape[1] == 1:
        return torch.addcmul(x, gate[:, 0], y.to(x.dtype))
    gated = gate * y.to(x.dtype).reshape(len(x), gate.shape[1], -1, x.shape[2])
    return x + gated.flatten(1, 2)  # not a view, which FSDP2 does not accept as the output of a block


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
        q = rotated_norm(self._split_heads(self.to_q(x)), self.norm_q.weight, rotary)
        k = rotated_norm(self._split_heads(self.to_k(context)), self.norm_k.weight, rotary)
        v = self._split_heads(self.to_v(context))
        out = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        result: Tensor = self.to_out[0](out.transpose(1, 2).flatten(2))
        return result

    def _split_heads(self, x: Tensor) -> Tensor:
        """[b n d] to [b n heads d/heads]."""
        return x.reshape(*x.shape[:2], self.heads, -1)


class AdaptiveNorm(nn.Module):
    """Layer norm with shift, scale and (of 3 outputs) a gate, from the timestep through a low-rank map."""

    def __init__(self, width: int, adaln_lora_dim: int, outputs: int) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.linear_1 = nn.Linear(width, adaln_lora_dim, bias=False)
        self.linear_2 = nn.Linear(adaln_lora_dim, outputs * width, bias=False)

    def forward(self, x: Tensor, inputs: BlockInputs, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The normalized x in `dtype`, and its gate [b f 1 d] (with 2 outputs: the scale again)."""
        modulation = linear(self.linear_2, linear(self.linear_1, nn.functional.silu(inputs.timestep_embed)))
        modulation = modulation + inputs.timestep_offset[..., : self.outputs * self.width]
        shift, scale, *gate = modulation[:, :, None].chunk(self.outputs, -1)
        return modulated_norm(x, shift, scale, dtype), gate[0] if gate else scale


class FeedForward(nn.Module):
    """A linear layer to four times the width, GELU, and a linear layer back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [FirstProjection(width), nn.Identity(), nn.Linear(4 * width, width, bias=False)]
        self.net = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return linear_of_gelu(self.net[0](x), self.net[2])


class FirstProjection(nn.Module):
    """A linear layer to four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 4 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out
