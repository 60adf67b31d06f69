"""The blocks of a 3-D U-Net: a residual block that reads the timestep, and attention.

Source: Nichol & Dhariwal 2021, arXiv:2102.09672, section 3 and appendix A; Ho et al. 2022, arXiv:2204.03458,
section 3.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class UNetInputs(NamedTuple):
    """What the blocks of one resolution read besides the features.

    Attributes:
        embedding: Embedding of the timestep and of the action, [b f e]; f is 1 or the number of frames.
        text: Text embeddings, [b m d], the first of them zeros.
        text_mask: True where text counts, [b 1 1 m]; None if all of it counts.
    """

    embedding: Tensor
    text: Tensor
    text_mask: Tensor | None


class UNetBlock(nn.Module):
    """A residual block, and after it attention if there are heads.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.
        embed_dim: Width of the embedding of the timestep.
        groups: Groups of the normalization.
        heads: Heads of attention; 0 for none.
        text_embed_dim: Width of the text embeddings.
    """

    def __init__(
        self, width_in: int, width_out: int, embed_dim: int, groups: int, heads: int, text_embed_dim: int
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width_in)
        self.conv1 = nn.Conv3d(width_in, width_out, 3, padding=1)
        self.embed_proj = nn.Linear(embed_dim, 2 * width_out)
        self.norm2 = nn.GroupNorm(groups, width_out)
        self.conv2 = nn.Conv3d(width_out, width_out, 3, padding=1)
        self.shortcut = nn.Conv3d(width_in, width_out, 1) if width_in != width_out else None
        self.attention = SpatioTemporalAttention(width_out, heads, text_embed_dim) if heads else None

    def forward(self, x: Tensor, inputs: UNetInputs) -> Tensor:
        """Features [b width_in t h w] to [b width_out t h w]."""
        y = self.conv1(nn.functional.silu(self.norm1(x)))
        modulation = self.embed_proj(nn.functional.silu(inputs.embedding))  # [b f 2 width_out]
        scale, shift = modulation.transpose(1, 2)[..., None, None].chunk(2, 1)
        y = self.norm2(y) * (1 + scale) + shift
        x = (x if self.shortcut is None else self.shortcut(x)) + self.conv2(nn.functional.silu(y))
        out: Tensor = x if self.attention is None else self.attention(x, inputs)
        return out

    def flops(self, places: int, groups: int, text_tokens: int) -> int:
        """Half of the FLOPs: multiplications of `places` t * h * w, with `groups` timesteps per clip."""
        convolutions = [self.conv1, self.conv2, *([] if self.shortcut is None else [self.shortcut])]
        count = places * sum(conv.weight.numel() for conv in convolutions)
        count += groups * self.embed_proj.weight.numel()
        return count if self.attention is None else count + self.attention.flops(places, text_tokens)


class SpatioTemporalAttention(nn.Module):
    """Self-attention over all places and frames of a clip, then cross-attention to its text."""

    def __init__(self, width: int, heads: int, text_embed_dim: int) -> None:
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(width), UNetAttention(width, heads, width)
        self.norm2, self.attn2 = nn.LayerNorm(width), UNetAttention(width, heads, text_embed_dim)

    def forward(self, x: Tensor, inputs: UNetInputs) -> Tensor:
        """Features [b c t h w] to the same shape."""
        tokens = x.flatten(2).transpose(1, 2)
        y = self.norm1(tokens)
        tokens = tokens + self.attn1(y, y, None)
        tokens = tokens + self.attn2(self.norm2(tokens), inputs.text, inputs.text_mask)
        out: Tensor = tokens.transpose(1, 2).reshape(x.shape)
        return out.clone(memory_format=torch.contiguous_format)  # FSDP2 puts hooks on what blocks return

    def flops(self, tokens: int, text_tokens: int) -> int:
        """Half of the FLOPs of one clip."""
        return self.attn1.flops(tokens, tokens) + self.attn2.flops(tokens, text_tokens)


class UNetAttention(nn.Module):
    """Attention of tokens to a context. A context of zeros adds nothing, because there are no biases."""

    def __init__(self, width: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_dim, width, bias=False)
        self.to_v = nn.Linear(context_dim, width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Queries come from x [b n width], keys and values from the context [b m context_dim]."""
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.to_out(y.transpose(1, 2).flatten(2))
        return out

    def flops(self, tokens: int, context_tokens: int) -> int:
        """Half of the FLOPs of one clip."""
        width = self.to_q.weight.shape[0]
        own = self.to_q.weight.numel() + self.to_out.weight.numel()
        context = self.to_k.weight.numel() + self.to_v.weight.numel()
        return tokens * own + context_tokens * context + 2 * tokens * context_tokens * width


class Upsample(nn.Module):
    """Repeat each place `stride` times along t, h, w, then a convolution."""

    def __init__(self, width_in: int, width_out: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv3d(width_in, width_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[b width_in t h w] to [b width_out t' h' w']."""
        for axis, repeats in enumerate(self.stride, start=2):
            x = x.repeat_interleave(repeats, axis) if repeats > 1 else x
        out: Tensor = self.conv(x)
        return out


class FilterHead(nn.Module):
    """Linear 3 x 3 filters of the last given frame, weighted at each place and frame; zeros at first.

    A small motion changes a frame by the product of the motion and a derivative of the frame, and the motion
    of a camera is a product of its rays and the inverse depth. Convolutions learn such products slowly. Here
    the weight of a filter is linear in the rays, and the features determine its coefficients.

    Source: De Brabandere et al. 2016, arXiv:1605.09673 (dynamic filters), as weights of learned filters.

    Args:
        width: Channels of the features.
        channels: Channels of the latents.
        filters: Number of filters.
        camera_dim: Channels of the rays; 0 for none.
    """

    def __init__(self, width: int, channels: int, filters: int, camera_dim: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(channels, filters * channels, 3, padding=1, bias=False)
        self.weights = nn.Conv3d(width, filters, 3, padding=1)
        self.camera_proj = nn.Conv3d(width, filters * camera_dim, 3, padding=1) if camera_dim else None

    def forward(self, x: Tensor, last: Tensor, rays: Tensor | None) -> Tensor:
        """Features [b width t h w], the last given frame [b c 1 h w] and rays [b r t h w] to [b c t h w]."""
        b, c, _, h, w = last.shape
        filtered = self.filters(last[:, :, 0]).reshape(b, -1, c, h, w)
        weights = self.weights(x)
        if self.camera_proj is not None and rays is not None:
            coefficients = self.camera_proj(x).unflatten(1, (-1, rays.shape[1]))  # [b k r t h w]
            weights = weights + (coefficients * rays[:, None]).sum(2)
        out: Tensor = torch.einsum("bkthw,bkchw->bcthw", weights, filtered)
        return out

    def flops(self, places: int, area: int) -> int:
        """Half of the FLOPs of one clip of `places` t * h * w, of h * w = `area`."""
        count = area * self.filters.weight.numel() + places * self.weights.weight.numel()
        count += 0 if self.camera_proj is None else places * self.camera_proj.weight.numel()
        return count + places * self.filters.out_channels


def pool_frames(embedding: Tensor, stride: int) -> Tensor:
    """[b f e] to the means of `stride` frames each, [b f/stride e]; one embedding per clip stays as it is."""
    if embedding.shape[1] == 1 or stride == 1:
        return embedding
    b, frames, width = embedding.shape
    return embedding.reshape(b, frames // stride, stride, width).mean(2)


def pad_to_multiple(x: Tensor, multiples: tuple[int, int, int]) -> Tensor:
    """Repeat the last frame, row and column of [b c t h w] until t, h, w are multiples."""
    missing = [-size % multiple for size, multiple in zip(x.shape[2:], multiples, strict=True)]
    if not any(missing):
        return x
    padding = [amount for axis in reversed(missing) for amount in (0, axis)]
    return torch.nn.functional.pad(x, padding, mode="replicate")


def divide(size: tuple[int, ...], stride: tuple[int, int, int]) -> tuple[int, int, int]:
    """Size [t h w] after a downsampling."""
    t, h, w = (math.ceil(length / step) for length, step in zip(size, stride, strict=True))
    return t, h, w
