"""Differences of thumbnails that tolerate motion: of each cell within its neighbors, and of moved blocks."""

import numpy as np
import numpy.typing as npt

BLOCK = 4  # cells: side of a block
REACH_ACROSS, REACH_DOWN = 4, 2  # cells: how far a block is searched to each side, and up and down

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def absolute_difference(one: Bytes, other: Bytes) -> Bytes:
    """Return |one - other| of unsigned integers, without overflow."""
    difference: Bytes = np.maximum(one, other) - np.minimum(one, other)
    return difference


def difference_beyond_neighbors(one: Bytes, other: Bytes) -> Bytes:
    """Return how far cells of `one` lie outside the range of `other` within one cell, uint8 [n h w]."""
    high, low = other.copy(), other.copy()
    for axis in (1, 2):
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        a, b = tuple(here), tuple(there)
        old_high, old_low = high.copy(), low.copy()
        for to, source in ((a, b), (b, a)):
            np.maximum(high[to], old_high[source], out=high[to])
            np.minimum(low[to], old_low[source], out=low[to])
    beyond: Bytes = np.maximum(np.maximum(one, high) - high, low - np.minimum(one, low))
    return beyond


def match_blocks(before: Bytes, after: Bytes) -> tuple[Floats, Floats]:
    """Search each block of `after` in `before` of the same row; both are [n h w].

    Returns:
        Mean difference of the cells of each block, at the place where it matches best, and at its own place;
        each float32 [n blocks].
    """
    rows, height, width = after.shape
    high, wide = max(1, height // BLOCK), max(1, width // BLOCK)
    tall, broad = height // high * high, width // wide * wide
    margin = np.pad(before, ((0, 0), (REACH_DOWN,) * 2, (REACH_ACROSS,) * 2), mode="edge")
    best: npt.NDArray[np.uint16] = np.full((rows, high, wide), 65535, np.uint16)
    still = best
    for down in range(2 * REACH_DOWN + 1):
        for across in range(2 * REACH_ACROSS + 1):
            moved = margin[:, down : down + tall, across : across + broad]
            sums = _block_sums(absolute_difference(after[:, :tall, :broad], moved), high, wide)
            best = np.minimum(best, sums)
            if (down, across) == (REACH_DOWN, REACH_ACROSS):
                still = sums
    size = np.float32((tall // high) * (broad // wide))
    found, unmoved = (sums.reshape(rows, -1).astype(np.float32) / size for sums in (best, still))
    return found, unmoved


def _block_sums(cells: Bytes, high: int, wide: int) -> npt.NDArray[np.uint16]:
    """Return the sums of `high` x `wide` blocks, uint16 [n high wide]."""
    rows, height, width = cells.shape
    lines = cells.reshape(rows, high, height // high, width)
    tall = lines[:, :, 0].astype(np.uint16)
    for line in range(1, height // high):
        tall += lines[:, :, line]
    columns = tall.reshape(rows, high, wide, width // wide)
    total = columns[..., 0].copy()
    for column in range(1, width // wide):
        total += columns[..., column]
    return total
