"""Collective operations on tensors whose ranks have uneven shares along an axis."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def even_shares(total: int, ranks: int) -> list[int]:
    """Divide `total` among ranks; the first ones get one more if it does not divide."""
    return [total // ranks + (rank < total % ranks) for rank in range(ranks)]


def exchange(
    x: Tensor,
    *,
    split: tuple[int, Sequence[int]],
    join: tuple[int, Sequence[int]],
    group: dist.ProcessGroup,
) -> Tensor:
    """An all-to-all: split `x` along an axis over the ranks, and join what they send along another axis.

    Args:
        x: The tensor of this rank.
        split: The axis, and the length that each rank gets.
        join: The axis, and the length that each rank sends.
        group: The ranks.
    """
    (split_axis, split_lengths), (join_axis, join_lengths) = split, join
    sent = [part.flatten() for part in x.split_with_sizes(list(split_lengths), split_axis)]
    shape = list(x.shape)
    shape[split_axis] = split_lengths[dist.get_rank(group)]
    shapes = [[*shape[:join_axis], length, *shape[join_axis + 1 :]] for length in join_lengths]
    sizes = [torch.Size(each).numel() for each in shapes]
    received = x.new_empty(sum(sizes))
    dist.all_to_all_single(received, torch.cat(sent), sizes, [len(part) for part in sent], group=group)
    parts = received.split_with_sizes(sizes)
    return torch.cat([part.view(each) for part, each in zip(parts, shapes, strict=True)], join_axis)


def all_gather(x: Tensor, axis: int, lengths: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """The shares of all ranks, whose lengths are known, concatenated along `axis`."""
    x = x.movedim(axis, 0)
    padding = (0, 0) * (x.dim() - 1) + (0, max(lengths) - len(x))
    padded = nn.functional.pad(x, padding).contiguous()
    shares = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(shares, padded, group=group)
    joined = torch.cat([share[:length] for share, length in zip(shares, lengths, strict=True)])
    return joined.movedim(0, axis).contiguous()


def reduce_scatter(x: Tensor, axis: int, lengths: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """This rank's share, along `axis`, of the sum over all ranks."""
    parts = exchange(x[None], split=(axis + 1, lengths), join=(0, [1] * len(lengths)), group=group)
    return parts.sum(0)


class Rotation:
    """A transfer of a tensor to the next rank of a ring, which runs while this rank computes."""

    def __init__(self, x: Tensor, shape: Sequence[int], group: dist.ProcessGroup) -> None:
        """Send `x`, and receive a tensor of this shape from the previous rank."""
        ranks, rank = dist.get_world_size(group), dist.get_rank(group)
        self._sent, self._received = x.contiguous(), x.new_empty(tuple(shape))
        to_next = dist.P2POp(dist.isend, self._sent, group=group, group_peer=(rank + 1) % ranks)
        from_last = dist.P2POp(dist.irecv, self._received, group=group, group_peer=(rank - 1) % ranks)
        self._requests = dist.batch_isend_irecv([to_next, from_last])

    def wait(self) -> Tensor:
        """The received tensor."""
        for request in self._requests:
            request.wait()
        return self._received
