"""Which latent frames are given at the start of each clip of a training."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.noise import uniform


def draw_given_frames(odds: Mapping[int, float], frames: int, seed: int, positions: Sequence[int]) -> Tensor:
    """The number of given latent frames of each clip, [b] int64. It leaves at least one frame.

    Args:
        odds: The odds of each number. If no number leaves a frame, none is given.
        frames: Latent frames of the clips.
        seed: The seed of the run.
        positions: Position of each clip in the stream of samples.
    """
    counts = [count for count in sorted(odds) if count < frames] or [0]
    weights = torch.tensor([odds.get(n, 1.0) for n in counts], dtype=torch.float64)
    ends = (weights / weights.sum()).cumsum(0)
    drawn = torch.searchsorted(ends, uniform(seed, "conditional frames", positions))
    return torch.tensor(counts)[drawn.clamp(max=len(counts) - 1)]


def given_mask(shape: Sequence[int], counts: Tensor, views: int = 1) -> Tensor:
    """`Conditioning.condition_mask` [b 1 t h w]: 1 for the first latent frames of each clip and view.

    Args:
        shape: That of the latents, [b c t h w]; of several views [b c (v t) h w].
        counts: Given latent frames of each view of a clip, [b].
        views: Views of a clip.
    """
    b, _, frames, h, w = shape
    is_given = torch.arange(frames // views, device=counts.device) < counts[:, None]
    return is_given.float().repeat(1, views)[:, None, :, None, None].expand(b, 1, frames, h, w)
