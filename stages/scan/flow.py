"""Coarse-to-fine optical flow of small patches, compiled by numba.

This is the first half of dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse
Search", section 2.1): the patch search. The second half, which spreads the patch results over all pixels, is
left out, because it pulls the edges of the frame towards the center and underestimates zoom and roll.

Images are float32 [h w]. Sums are computed in a fixed order and without fused multiply-add, so every machine
gets the same bits.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

Image = npt.NDArray[np.float32]  # [h w]
Pair = tuple[np.float32, np.float32]
Triple = tuple[np.float32, np.float32, np.float32]
Quintuple = tuple[np.float32, np.float32, np.float32, np.float32, np.float32]

SIDE = 8  # side of a patch, px
MARGIN = 2  # px at the edge of the image in which no patch starts
AREA = np.float32(SIDE * SIDE)
SAME_START_PX = np.float32(0.1)  # two starting points closer than this count as one
CONVERGED_PX = np.float32(0.015)  # the search stops after a step shorter than this


def patch_flow(
    previous: Sequence[Image],
    current: Sequence[Image],
    shift: npt.NDArray[np.float64],
    strides: Sequence[int],
    iterations: Sequence[int],
) -> npt.NDArray[np.float32]:
    """Compute the flow between two image pyramids: float32 [n 8], one row per patch.

    The columns are (x, y, u, v, xx, xy, yy, error), in px of the largest image: (x, y) is the center of the
    patch; (u, v) is its displacement to the right and down; xx, xy and yy are its structure tensor per px;
    error is the mean squared difference after the search, or -1 if the patch leaves the image.

    Args:
        previous, current: Image pyramids, each level half the size of the level before, the largest first.
        shift: Initial displacement (right, down) of the whole image, px of the largest image.
        strides: Distance between patches in px, one value per level.
        iterations: Maximum search steps, one value per level.
    """
    rows, grid = np.empty((0, 8), np.float32), (0, 0)
    for level in reversed(range(len(current))):
        u, v = np.float32(shift[0] / 2**level), np.float32(shift[1] / 2**level)
        rows, grid = level_flow(
            previous[level], current[level], u, v, strides[level], iterations[level], rows, grid
        )
    return rows


@njit(cache=True, nogil=True)
def level_flow(
    previous: Image,
    current: Image,
    shift_u: np.float32,
    shift_v: np.float32,
    stride: int,
    iterations: int,
    coarse_rows: npt.NDArray[np.float32],
    coarse_grid: tuple[int, int],
) -> tuple[npt.NDArray[np.float32], tuple[int, int]]:
    """Compute the rows of `patch_flow` for one level, and the number of patches across and down.

    Each search starts at the shift or at the result of the nearest patch of the coarser level, whichever fits
    better. `coarse_rows` and `coarse_grid` are the result for half the size; no rows and (0, 0) at the first.
    """
    height, width = previous.shape
    across, down = patches_along(width, stride), patches_along(height, stride)
    rows = np.empty((across * down, 8), np.float32)
    patch = np.empty((3, SIDE, SIDE), np.float32)
    for j in range(down):
        for i in range(across):
            x, y = patch_start(i, across, width), patch_start(j, down, height)
            tensor = structure_tensor(previous, x, y, patch)
            u, v = shift_u, shift_v
            start = difference(current, x, y, u, v, patch, tensor)
            if coarse_grid[0] > 0:
                k = nearest_patch(y, height, coarse_grid[1]) * coarse_grid[0]
                k += nearest_patch(x, width, coarse_grid[0])
                coarse_u, coarse_v = coarse_rows[k, 2] * np.float32(2), coarse_rows[k, 3] * np.float32(2)
                if abs(coarse_u - u) + abs(coarse_v - v) > SAME_START_PX:
                    other = difference(current, x, y, coarse_u, coarse_v, patch, tensor)
                    if other[0] >= 0 and (start[0] < 0 or other[0] <= start[0]):
                        u, v, start = coarse_u, coarse_v, other
            u, v, error = search(current, x, y, u, v, start, patch, tensor, iterations)
            row = rows[j * across + i]
            row[0], row[1] = x + (SIDE - 1) / 2, y + (SIDE - 1) / 2
            row[2], row[3] = u, v
            row[4], row[5], row[6], row[7] = tensor[0], tensor[1], tensor[2], error
    return rows, (across, down)


@njit(cache=True, nogil=True)
def patches_along(length: int, stride: int) -> int:
    """Count the patches along a side of `length` px."""
    return max(1, (length - SIDE - 2 * MARGIN) // stride + 1)


@njit(cache=True, nogil=True)
def patch_start(index: int, count: int, length: int) -> int:
    """Return the first px of a patch; patches are spaced evenly from margin to margin."""
    if count == 1:
        return (length - SIDE) // 2
    return MARGIN + (index * (length - SIDE - 2 * MARGIN)) // (count - 1)


@njit(cache=True, nogil=True)
def nearest_patch(start: int, length: int, count: int) -> int:
    """Return the index of the patch at half the size that is nearest to the patch starting at `start`."""
    if count == 1:
        return 0
    span = length // 2 - SIDE - 2 * MARGIN
    position = ((start + SIDE / 2) / 2 - SIDE / 2 - MARGIN) / max(1, span) * (count - 1)
    return min(count - 1, max(0, int(position + 0.5)))


@njit(cache=True, nogil=True)
def structure_tensor(previous: Image, x: int, y: int, patch: npt.NDArray[np.float32]) -> Quintuple:
    """Compute the structure tensor (xx, xy, yy) and the mean gradient (x, y) of a patch, per px.

    Writes the patch and its two gradients to `patch`, float32 [3 SIDE SIDE].
    """
    sx = sy = sxx = sxy = syy = np.float32(0)
    half = np.float32(0.5)
    for r in range(SIDE):
        for c in range(SIDE):
            gx = (previous[y + r, x + c + 1] - previous[y + r, x + c - 1]) * half
            gy = (previous[y + r + 1, x + c] - previous[y + r - 1, x + c]) * half
            patch[0, r, c], patch[1, r, c], patch[2, r, c] = previous[y + r, x + c], gx, gy
            sx += gx
            sy += gy
            sxx += gx * gx
            sxy += gx * gy
            syy += gy * gy
    sx, sy = sx / AREA, sy / AREA
    return sxx / AREA - sx * sx, sxy / AREA - sx * sy, syy / AREA - sy * sy, sx, sy


@njit(cache=True, nogil=True)
def difference(
    current: Image,
    x: int,
    y: int,
    u: np.float32,
    v: np.float32,
    patch: npt.NDArray[np.float32],
    tensor: Quintuple,
) -> Triple:
    """Compare the patch, moved by (u, v), with the current image; the mean difference is removed.

    Returns:
        Mean squared difference, and mean of difference times gradient in x and in y, per px. (-1, 0, 0) if
        the patch leaves the image.
    """
    left, top = np.floor(u), np.floor(v)
    a, b = x + int(left), y + int(top)
    if a < 0 or b < 0 or a + SIDE >= current.shape[1] or b + SIDE >= current.shape[0]:
        return np.float32(-1), np.float32(0), np.float32(0)
    p, q = np.float32(u - left), np.float32(v - top)
    w11 = p * q
    w01, w10 = p - w11, q - w11
    w00 = np.float32(1) - p - w10
    total = dot_x = dot_y = squares = np.float32(0)
    for r in range(SIDE):
        for c in range(SIDE):
            d = (
                w00 * current[b + r, a + c]
                + w01 * current[b + r, a + c + 1]
                + w10 * current[b + r + 1, a + c]
                + w11 * current[b + r + 1, a + c + 1]
                - patch[0, r, c]
            )
            total += d
            squares += d * d
            dot_x += d * patch[1, r, c]
            dot_y += d * patch[2, r, c]
    mean = total / AREA
    error = max(np.float32(0), squares / AREA - mean * mean)
    return error, dot_x / AREA - mean * tensor[3], dot_y / AREA - mean * tensor[4]


@njit(cache=True, nogil=True)
def search(
    current: Image,
    x: int,
    y: int,
    u: np.float32,
    v: np.float32,
    start: Triple,
    patch: npt.NDArray[np.float32],
    tensor: Quintuple,
    iterations: int,
) -> Triple:
    """Refine (u, v) by Gauss-Newton steps; return u, v and the remaining mean squared difference.

    Stops before a step that leads farther than half a patch from the start, or that fits worse.
    """
    xx, xy, yy = tensor[0], tensor[1], tensor[2]
    damping = np.float32(0.02) * (xx + yy) + np.float32(1)
    xx, yy = xx + damping, yy + damping
    det = xx * yy - xy * xy
    error, dot_x, dot_y = start
    start_u, start_v = u, v
    for _ in range(iterations):
        if error < 0:
            break
        du, dv = (yy * dot_x - xy * dot_y) / det, (xx * dot_y - xy * dot_x) / det
        if abs(u - du - start_u) > SIDE / 2 or abs(v - dv - start_v) > SIDE / 2:
            break
        step = difference(current, x, y, u - du, v - dv, patch, tensor)
        if step[0] < 0 or step[0] > error:
            break
        u, v = u - du, v - dv
        error, dot_x, dot_y = step
        if du * du + dv * dv < CONVERGED_PX**2:
            break
    return u, v, error
