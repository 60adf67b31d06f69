"""Changes of light, which are no boundaries: what changes keeps its detail."""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

BLOCK = 4  # cells per side
CHANGE = 6  # mean change of a block that counts, in levels
KEPT = 0.7  # correlation of a block with itself in another light, at least
SHARE = 0.75  # of the changed blocks that keep their detail, at least
BALANCE = 0.6  # of the change that has one sign when a light is switched, at least


def keeps_detail(before: Bytes, after: Bytes) -> Bools:
    """Return whether most of the blocks that change keep their detail, per pair of frames.

    A block without detail keeps none, and frames without a change do not either.

    Args:
        before: Cells of the thumbnails, uint8 [n h w].
        after: Cells of the frames to compare them with, uint8 [n h w].
    """
    one, other = _blocks(before), _blocks(after)
    changed = np.abs(other - one).mean(2) > CHANGE
    one, other = (blocks - blocks.mean(2, keepdims=True) for blocks in (one, other))
    energy = ((blocks**2).sum(2) + BLOCK**2 for blocks in (one, other))  # of a noise of one level at least
    kept = (one * other).sum(2) > KEPT * np.sqrt(np.multiply(*energy))
    count = changed.sum(1)
    result: Bools = (count > 0) & ((kept & changed).sum(1) >= SHARE * count)
    return result


def is_switched_light(before: Bytes, after: Bytes) -> Bools:
    """Return whether a frame shows the frame before it in a brighter or in a darker light, per pair.

    Unlike the jump of a subject, the change has one sign. The arguments are those of `keeps_detail`.
    """
    difference = _blocks(after) - _blocks(before)
    difference[np.abs(difference).mean(2) <= CHANGE] = 0
    balance = np.abs(difference.sum((1, 2))) >= BALANCE * np.abs(difference).sum((1, 2))
    result: Bools = keeps_detail(before, after) & balance
    return result


def _blocks(luma: Bytes) -> npt.NDArray[np.float32]:
    """Cut frames into blocks, float32 [n blocks cells]; cells that fill no block are left out."""
    frames, height, width = luma.shape
    high, wide = height // BLOCK, width // BLOCK
    top, left = (height - high * BLOCK) // 2, (width - wide * BLOCK) // 2
    inner = luma[:, top : top + high * BLOCK, left : left + wide * BLOCK].astype(np.float32)
    rows = inner.reshape(frames, high, BLOCK, wide, BLOCK).transpose(0, 1, 3, 2, 4)
    return rows.reshape(frames, high * wide, BLOCK * BLOCK)
