"""Embeddings: latents to tokens and back, positions, and timesteps to the inputs of adaptive norms."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.networks.config import PATCH_SIZE
from training.tensors import Latents

ACTION_WIDTH = 256  # inner width of the embedding of an action by a convolutional network


class PatchEmbed(nn.Module):
    """Patches of [b c t h w] to tokens [b n d]."""

    def __init__(self, patch_values: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(patch_values, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.proj(patchify(x))
        return tokens


def patchify(x: Tensor) -> Tensor:
    """[b c t h w] to patches [b n p]; inside a patch the order is c, t, h, w."""
    b, c, t, h, w = x.shape
    pt, ph, pw = PATCH_SIZE
    x = x.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def unpatchify(tokens: Tensor, grid: tuple[int, int, int]) -> Latents:
    """Tokens [b n p] to [b c t h w]; inside a token the order is h, w, t, c, as in Cosmos's last layer."""
    pt, ph, pw = PATCH_SIZE
    x = tokens.reshape(len(tokens), *grid, ph, pw, pt, -1)
    x = x.permute(0, 7, 1, 6, 2, 4, 3, 5)
    return x.flatten(6).flatten(4, 5).flatten(2, 3)


class LearnablePosEmbed(nn.Module):
    """The sum of one learned vector per index along t, h and w, divided by its root mean square."""

    def __init__(self, max_size: tuple[int, int, int], width: int) -> None:
        super().__init__()
        t, h, w = (size // patch for size, patch in zip(max_size, PATCH_SIZE, strict=True))
        self.pos_emb_t = nn.Parameter(torch.empty(t, width))
        self.pos_emb_h = nn.Parameter(torch.empty(h, width))
        self.pos_emb_w = nn.Parameter(torch.empty(w, width))

    def forward(self, grid: tuple[int, int, int]) -> Tensor:
        """Embeddings of all tokens of a grid, [1 n d].

        Raises:
            ValueError: The grid is larger than the tables.
        """
        tables = (self.pos_emb_t, self.pos_emb_h, self.pos_emb_w)
        if any(size > len(table) for size, table in zip(grid, tables, strict=True)):
            limits = tuple(len(table) for table in tables)
            raise ValueError(f"a grid of {grid} tokens exceeds the learned positions {limits}; see max_size")
        t, h, w = (table[:size] for size, table in zip(grid, tables, strict=True))
        x = (t[:, None, None] + h[:, None] + w).flatten(0, 2)[None]
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        normed: Tensor = x / (1e-6 + norm * x.shape[-1] ** -0.5)
        return normed.to(x.dtype)


class CodeEmbed(nn.Module):
    """One learned vector per code of a discrete tokenizer, and a last one for no code."""

    def __init__(self, codebook_size: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codebook_size + 1, channels)

    def forward(self, codes: Tensor | None, size: tuple[int, ...]) -> Tensor:
        """Codes [b t h w] to channels [b c t H W] of latents whose shape is `size`, bilinear in space.

        Args:
            codes: -1 is no code. None: there are none.
            size: [b _ t H W].

        Raises:
            ValueError: The frames differ, or H, W are not multiples of h, w.
        """
        b, _, t, height, width = size
        null = self.embedding.num_embeddings - 1
        if codes is None:
            codes = torch.full((b, t, 1, 1), null, device=self.embedding.weight.device)
        h, w = codes.shape[2:]
        if codes.shape[:2] != (b, t) or height % h or width % w:
            raise ValueError(f"codes {tuple(codes.shape)} do not fit latents of {(b, t, height, width)}")
        x: Tensor = self.embedding(codes.where(codes >= 0, null)).flatten(0, 1).permute(0, 3, 1, 2)
        if (h, w) != (height, width):
            x = nn.functional.interpolate(x, (height, width), mode="bilinear")
        return x.reshape(b, t, *x.shape[1:]).transpose(1, 2)


class TimestepEmbed(nn.Module):
    """Embeds a timestep as normalized sinusoids, and as an offset that all adaptive norms share."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.t_embedder = TimestepOffset(width)
        self.norm = nn.RMSNorm(width, eps=1e-6)

    def forward(
        self, t: Tensor, dtype: torch.dtype, others: Sequence[tuple[Tensor, Tensor]] = ()
    ) -> tuple[Tensor, Tensor]:
        """t [b f] to (embedding [b f d], offset [b f 3d]), computed in `dtype`.

        `others` are added to both, to the embedding before its norm; see `ActionEmbed`.
        """
        weight = self.norm.weight.to(dtype)
        waves = sinusoidal_embedding(t, len(weight)).to(dtype)
        offset = self.t_embedder(waves)
        for embedding, added in others:
            waves, offset = waves + embedding, offset + added
        return nn.functional.rms_norm(waves, weight.shape, weight, self.norm.eps), offset


class ViewEmbed(nn.Module):
    """One vector per camera, to be added to the embedding and the offset of the timestep; zeros at first."""

    def __init__(self, views: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(views, 4 * width, bias=False)  # of one-hot numbers

    def forward(self, view_indices: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Numbers of cameras [b 1] to (embedding [b 1 d], offset [b 1 3d])."""
        weight = self.linear.weight
        x = self.linear(nn.functional.one_hot(view_indices, weight.shape[1]).to(weight.dtype)).to(dtype)
        width = x.shape[-1] // 4
        return x[..., :width], x[..., width:]


class ActionEmbed(nn.Module):
    """Embeds the actions of latent frames, to be added to the embedding and the offset of their timestep.

    The last layer begins at zero, so a network that gets this layer begins with the output it had without.
    Source: Cosmos-Predict2.5 (Ali et al. 2025, arXiv:2511.00062), the action-conditioned variant.
    """

    def __init__(self, action_dim: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(action_dim, width)
        self.linear_2 = nn.Linear(width, 4 * width)

    def forward(
        self, action: Tensor, mask: Tensor | None, frames: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Actions [b t a] to (embedding [b f d], offset [b f 3d]) of latent frames `frames` [f].

        Args:
            action: Actions of all latent frames.
            mask: [b t]; where it is 0 both are zero. None: it is 0 for the first latent frame alone.
            frames: Numbers of latent frames.
            dtype: Type of the result.
        """
        if mask is None:
            mask = torch.ones_like(action[..., 0])
            mask[:, 0] = 0
        x = action[:, frames].to(self.linear_1.weight.dtype)
        x = self.linear_2(nn.functional.gelu(self.linear_1(x), approximate="tanh")).to(dtype)
        x = x * mask[:, frames, None].to(dtype)
        width = x.shape[-1] // 4
        return x[..., :width], x[..., width:]


class TimestepOffset(nn.Module):
    """Sinusoids [b f d] to the shared offset [b f 3d] of shift, scale and gate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, width, bias=False)
        self.linear_2 = nn.Linear(width, 3 * width, bias=False)

    def forward(self, waves: Tensor) -> Tensor:
        return linear(self.linear_2, nn.functional.silu(linear(self.linear_1, waves)))


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer without bias, computed in the dtype of x, whatever the dtype of its weight."""
    if type(layer) is nn.Linear:
        return nn.functional.linear(x, layer.weight.to(x.dtype))
    out: Tensor = layer(x.to(next(layer.parameters()).dtype))  # an adapter, such as LoRA
    return out.to(x.dtype)


def sinusoidal_embedding(t: Tensor, width: int) -> Tensor:
    """[...] to cosines then sines [... width], periods from 2 pi to 2 pi * 10 000."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000.0) / half))
    angles = t[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], -1)


def build_action_embed(action_dim: int, width: int) -> nn.Sequential | None:
    """The layers that embed the action of a frame for a convolutional network; None without actions."""
    if not action_dim:
        return None
    return nn.Sequential(nn.Linear(action_dim, ACTION_WIDTH), nn.ReLU(), nn.Linear(ACTION_WIDTH, width))


def add_actions(embedding: Tensor, layers: nn.Module | None, conditioning: Conditioning) -> Tensor:
    """The embedding [b 1 e] or [b t e] plus that of each known action, [b t e]."""
    action, known = conditioning.action, conditioning.action_mask
    if layers is None or action is None:
        return embedding
    if known is None:  # all but the first are known
        known = (torch.arange(action.shape[1], device=action.device) > 0).expand(action.shape[:2])
    added: Tensor = layers(action.to(embedding.dtype)) * known[..., None].to(embedding.dtype)
    return embedding + added


def count_weights(module: nn.Module | None) -> int:
    """Numbers in the matrices and kernels of a module; 0 for None."""
    parameters = [] if module is None else module.parameters()
    return sum(parameter.numel() for parameter in parameters if parameter.dim() > 1)
