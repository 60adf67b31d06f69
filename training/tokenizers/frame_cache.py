"""What causal layers remember between the chunks of a video."""

from typing import Any

import torch
from torch import Tensor


class FrameCache:
    """The last frames of each causal layer, so that a sequence of chunks gives the output of one pass.

    Layers ask in the same order for each chunk, which is how the cache knows them. `start_chunk` begins each
    chunk.

    Args:
        is_stream: Whether more chunks follow. If not, nothing is remembered.

    Attributes:
        state: What the network of another package keeps instead, in its own form.
    """

    def __init__(self, is_stream: bool = True) -> None:
        self.is_stream = is_stream
        self.state: list[Any] = []
        self._kept: list[Tensor] = []
        self._next = 0
        self._chunks = 0

    def start_chunk(self) -> "FrameCache":
        """Begin the next chunk of the same video."""
        self._next = 0
        self._chunks += 1
        return self

    def is_first(self) -> bool:
        """Whether this is the first chunk of the video."""
        return self._chunks <= 1

    def kept_bytes(self) -> int:
        """Bytes of all frames that are kept."""
        return sum(frames.numel() * frames.element_size() for frames in self._kept)

    def with_past(self, x: Tensor, count: int, pad_zeros: bool = False) -> Tensor:
        """x [b t …] after the `count` frames before it: [b count+t …].

        Before the first frame of a video there are copies of it, or zeros.
        """
        if self.is_first():
            past = x[:, :1].expand(-1, count, *x.shape[2:])
            past = torch.zeros_like(past) if pad_zeros else past
        else:
            past = self._kept[self._next]
        x = torch.cat([past, x], 1)
        self._keep(x[:, -count:])
        return x

    def append(self, x: Tensor, limit: int | None) -> Tensor:
        """x [b t …] after all frames before it, of which the last `limit` - 1 are kept for the next chunk."""
        if not self.is_first():
            x = torch.cat([self._kept[self._next], x], 1)
        self._keep(x if limit is None else x[:, max(0, x.shape[1] - limit + 1) :])
        return x

    def _keep(self, frames: Tensor) -> None:
        if not self.is_stream:
            return
        frames = frames.clone()  # a view would keep all frames of the chunk
        if self._next == len(self._kept):
            self._kept.append(frames)
        else:
            self._kept[self._next] = frames
        self._next += 1
