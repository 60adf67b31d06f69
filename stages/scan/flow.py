"""Flow of small patches from coarse to fine, compiled by numba.

The search is the first half of dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using Dense
Inverse Search", section 2.1). Its second half, which spreads the patches' answers over the pixels, is left
out: it pulls the ends of the picture towards the middle, and zoom and roll come out too small.

Pictures are float32 [h w]. Sums are taken in a fixed order and without fused steps, so that every machine
finds the same bits.
"""

import numpy as np
from numba import njit

SIDE = 8  # px of a patch
MARGIN = 2  # px at the edge of the picture, where no patch begins
AREA = np.float32(SIDE * SIDE)
NEAR_PX = np.float32(0.1)  # beginnings that lie nearer are one
ENOUGH_PX = np.float32(0.015)  # a step after which no other is made


def flow_of(before, now, way, strides, rounds):
    """The flow between two pictures, large to small, by halves: float32 [n 8], a row for each patch.

    A row is (x, y, u, v, xx, xy, yy, error), in px of the largest: x and y are the middle of the patch, u and
    v its way to the right and down, xx, xy and yy its structure tensor per px, and error the mean squared
    difference that is left, -1 where the way leaves the picture.

    Args:
        way: of the picture as a whole, right and down in px, where the search begins.
        strides, rounds: px between patches, and steps of the search, for each size.
    """
    found, shape = np.empty((0, 8), np.float32), (0, 0)
    for size in reversed(range(len(now))):
        u, v = np.float32(way[0] / 2**size), np.float32(way[1] / 2**size)
        found, shape = patch_flow(before[size], now[size], u, v, strides[size], rounds[size], found, shape)
    return found


@njit(cache=True, nogil=True)
def patch_flow(before, now, shift_u, shift_v, stride, rounds, coarser, shape):
    """The rows of `flow_of` for pictures of one size, and how many patches lie across and down.

    The search begins at the shift or where the nearest patch of `coarser` ended, whichever fits better;
    `coarser` and `shape` are what this gave for half the size; no rows and (0, 0) without.
    """
    height, width = before.shape
    across, down = grid(width, stride), grid(height, stride)
    found = np.empty((across * down, 8), np.float32)
    tile = np.empty((3, SIDE, SIDE), np.float32)
    for j in range(down):
        for i in range(across):
            x, y = place(i, across, width), place(j, down, height)
            state = texture(before, x, y, tile)
            u, v = shift_u, shift_v
            begin = differ(now, x, y, u, v, tile, state)
            if shape[0] > 0:
                k = nearest(y, height, shape[1]) * shape[0] + nearest(x, width, shape[0])
                first, second = coarser[k, 2] * np.float32(2), coarser[k, 3] * np.float32(2)
                if abs(first - u) + abs(second - v) > NEAR_PX:
                    other = differ(now, x, y, first, second, tile, state)
                    if other[0] >= 0 and (begin[0] < 0 or other[0] <= begin[0]):
                        u, v, begin = first, second, other
            u, v, error = descend(now, x, y, u, v, begin, tile, state, rounds)
            row = found[j * across + i]
            row[0], row[1] = x + (SIDE - 1) / 2, y + (SIDE - 1) / 2
            row[2], row[3] = u, v
            row[4], row[5], row[6], row[7] = state[0], state[1], state[2], error
    return found, (across, down)


@njit(cache=True, nogil=True)
def grid(length, stride):
    """How many patches lie along a side."""
    return max(1, (length - SIDE - 2 * MARGIN) // stride + 1)


@njit(cache=True, nogil=True)
def place(number, count, length):
    """Where a patch begins: evenly from margin to margin."""
    if count == 1:
        return (length - SIDE) // 2
    return MARGIN + (number * (length - SIDE - 2 * MARGIN)) // (count - 1)


@njit(cache=True, nogil=True)
def nearest(begin, length, count):
    """Which patch of the picture of half the size lies nearest to one that begins there."""
    if count == 1:
        return 0
    room = length // 2 - SIDE - 2 * MARGIN
    spot = ((begin + SIDE / 2) / 2 - SIDE / 2 - MARGIN) / max(1, room) * (count - 1)
    return min(count - 1, max(0, int(spot + 0.5)))


@njit(cache=True, nogil=True)
def texture(before, x, y, tile):
    """Structure tensor (xx, xy, yy) and mean gradient of a patch, per px; `tile` gets it and gradients."""
    sx = sy = sxx = sxy = syy = np.float32(0)
    half = np.float32(0.5)
    for r in range(SIDE):
        for c in range(SIDE):
            gx = (before[y + r, x + c + 1] - before[y + r, x + c - 1]) * half
            gy = (before[y + r + 1, x + c] - before[y + r - 1, x + c]) * half
            tile[0, r, c], tile[1, r, c], tile[2, r, c] = before[y + r, x + c], gx, gy
            sx += gx
            sy += gy
            sxx += gx * gx
            sxy += gx * gy
            syy += gy * gy
    sx, sy = sx / AREA, sy / AREA
    return sxx / AREA - sx * sx, sxy / AREA - sx * sy, syy / AREA - sy * sy, sx, sy


@njit(cache=True, nogil=True)
def differ(now, x, y, u, v, tile, state):
    """How the patch, moved by (u, v), differs, apart from its mean: squared, and times each gradient, per px.

    (-1, 0, 0) outside the picture.
    """
    left, top = np.floor(u), np.floor(v)
    a, b = x + int(left), y + int(top)
    if a < 0 or b < 0 or a + SIDE >= now.shape[1] or b + SIDE >= now.shape[0]:
        return np.float32(-1), np.float32(0), np.float32(0)
    p, q = np.float32(u - left), np.float32(v - top)
    w11 = p * q
    w01, w10 = p - w11, q - w11
    w00 = np.float32(1) - p - w10
    total = along = upright = squares = np.float32(0)
    for r in range(SIDE):
        for c in range(SIDE):
            d = (
                w00 * now[b + r, a + c]
                + w01 * now[b + r, a + c + 1]
                + w10 * now[b + r + 1, a + c]
                + w11 * now[b + r + 1, a + c + 1]
                - tile[0, r, c]
            )
            total += d
            squares += d * d
            along += d * tile[1, r, c]
            upright += d * tile[2, r, c]
    mean = total / AREA
    error = max(np.float32(0), squares / AREA - mean * mean)
    return error, along / AREA - mean * state[3], upright / AREA - mean * state[4]


@njit(cache=True, nogil=True)
def descend(now, x, y, u, v, begin, tile, state, rounds):
    """Gauss-Newton steps from (u, v) on, but for one that leads farther than half a patch, or fits worse."""
    xx, xy, yy = state[0], state[1], state[2]
    damp = np.float32(0.02) * (xx + yy) + np.float32(1)
    xx, yy = xx + damp, yy + damp
    det = xx * yy - xy * xy
    error, along, upright = begin
    from_u, from_v = u, v
    for _ in range(rounds):
        if error < 0:
            break
        du, dv = (yy * along - xy * upright) / det, (xx * upright - xy * along) / det
        if abs(u - du - from_u) > SIDE / 2 or abs(v - dv - from_v) > SIDE / 2:
            break
        reached = differ(now, x, y, u - du, v - dv, tile, state)
        if reached[0] < 0 or reached[0] > error:
            break
        u, v = u - du, v - dv
        error, along, upright = reached
        if du * du + dv * dv < ENOUGH_PX**2:
            break
    return u, v, error
