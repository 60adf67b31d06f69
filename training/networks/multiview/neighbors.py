"""Attention of each view to the views of its neighbors: cameras whose fields of view overlap.

A token attends to all tokens of the same latent frame in the neighboring views; attention over time is that
within a view. Source: Gao et al. 2023, arXiv:2310.02601, section 4.2 (cross-view attention to neighbors,
zero-initialized, on the networks of each view).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NeighborAttention:
    """Attention from each view to its neighbors; it stands in the place of self-attention (`Attend`).

    Attributes:
        frames: Latent frames of a view.
        neighbors: Numbers of the neighbors among the views of the clip, [b v n].
        is_neighbor: Which of them are neighbors; the others fill up rows, [b v n].
        is_complete: All of them are.
    """

    frames: int
    neighbors: Tensor
    is_neighbor: Tensor
    is_complete: bool

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [(b v) heads (t s) d] to the same shape; zeros for a view without neighbors."""
        b, views, count = self.neighbors.shape
        firsts = torch.arange(0, b * views, views, device=q.device)[:, None, None]
        rows = (firsts + self.neighbors).flatten()
        keys, values = (self._by_frame(each[rows], count) for each in (k, v))
        queries, mask, known = self._by_frame(q, 1), None, None
        if not self.is_complete:
            known = self.is_neighbor.any(-1)
            usable = self.is_neighbor | ~known[..., None]  # attention needs one token
            tokens = queries.shape[2]
            mask = usable.flatten(0, 1).repeat_interleave(tokens, 1).repeat_interleave(self.frames, 0)
            mask = mask[:, None, None]
        out = nn.functional.scaled_dot_product_attention(queries, keys, values, mask)
        out = torch.unflatten(out, 0, (-1, self.frames)).transpose(1, 2).flatten(2, 3)
        return out if known is None else out * known.flatten()[:, None, None, None]

    def _by_frame(self, x: Tensor, count: int) -> Tensor:
        """[(v n) heads (t s) d] to [(v t) heads (n s) d] for n = count."""
        x = torch.unflatten(torch.unflatten(x, 2, (self.frames, -1)), 0, (-1, count))  # [v n heads t s d]
        return x.permute(0, 3, 2, 1, 4, 5).flatten(3, 4).flatten(0, 1)


def neighbor_attention(
    view_indices: Tensor, views: Sequence[str], pairs: Collection[tuple[str, str]], frames: int
) -> NeighborAttention | None:
    """The attention of the views of a batch; None if no two of its views can be neighbors.

    Args:
        view_indices: Numbers of the cameras of each clip, [b v].
        views: Names of all cameras.
        pairs: Cameras whose fields of view overlap, in any order.
        frames: Latent frames of a view.
    """
    found = neighbors_of_views(view_indices, views, pairs)
    if found is None:
        return None
    numbers = range(len(views))
    is_complete = all(
        (views[a], views[b]) in pairs or (views[b], views[a]) in pairs for a in numbers for b in range(a)
    )
    return NeighborAttention(frames, *found, is_complete)


def neighbor_rows(
    view_indices: Tensor, views: Sequence[str], pairs: Collection[tuple[str, str]]
) -> tuple[Tensor, Tensor] | None:
    """`neighbors_of_views` as rows of the views of all clips, [(b v) n], and [(b v) n] bool."""
    found = neighbors_of_views(view_indices, views, pairs)
    if found is None:
        return None
    b, v = view_indices.shape
    firsts = torch.arange(0, b * v, v, device=view_indices.device)[:, None, None]
    return (found[0] + firsts).flatten(0, 1), found[1].flatten(0, 1)


def neighbors_of_views(
    view_indices: Tensor, views: Sequence[str], pairs: Collection[tuple[str, str]]
) -> tuple[Tensor, Tensor] | None:
    """The neighbors of each view of a batch, and which of them are neighbors; others fill up rows.

    None if no two of its views can be neighbors.

    Args:
        view_indices: Numbers of the cameras of each clip, [b v].
        views: Names of all cameras.
        pairs: Cameras whose fields of view overlap, in any order.

    Returns:
        Numbers among the views of the clip, [b v n], and [b v n] bool.
    """
    rows = [[(a, b) in pairs or (b, a) in pairs for b in views] for a in views]
    count = min(view_indices.shape[1] - 1, max(map(sum, rows), default=0))
    if count < 1:
        return None
    overlaps = torch.tensor(rows, device=view_indices.device)
    is_neighbor = overlaps[view_indices[:, :, None], view_indices[:, None]]  # [b v v]
    neighbors = is_neighbor.int().argsort(dim=-1, descending=True, stable=True)[..., :count]
    return neighbors, is_neighbor.gather(-1, neighbors)
