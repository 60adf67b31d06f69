"""The tokens of a clip that a process computes: all of them, or its share under context parallelism."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v [b heads n d] -> [b heads n d]
Grid = tuple[int, int, int]  # tokens along t, h, w


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Full attention over all tokens, [b heads n d]."""
    return nn.functional.scaled_dot_product_attention(q, k, v)


@dataclass(frozen=True)
class TokenShare:
    """A run of the tokens of a clip, in their order t, h, w.

    Attributes:
        start: The first token.
        stop: The token after the last.
        attend: Attention to all tokens of the clip, with q, k, v of these tokens.
        join: [b n d] of these tokens to [b n d] of all tokens.
    """

    start: int
    stop: int
    attend: Attend
    join: Callable[[Tensor], Tensor]

    def split(self, x: Tensor, axis: int) -> Tensor:
        """The part of `x` that belongs to these tokens; `axis` is that of all tokens."""
        return x.narrow(axis, self.start, self.stop - self.start)


def whole_clip(grid: Grid) -> TokenShare:
    """All tokens of a clip."""
    return TokenShare(0, math.prod(grid), attention, lambda x: x)


def group_frames(grid: Grid, share: TokenShare, device: torch.device) -> Tensor:
    """The latent frame of each group of tokens of a process, [f].

    Groups are the longest runs of equal length that no frame and no process cuts.
    """
    frame_tokens = grid[1] * grid[2]
    length = math.gcd(frame_tokens, share.start, share.stop)
    return torch.arange(share.start, share.stop, length, device=device) // frame_tokens
