"""The camera that explains most of a flow: a robust fit of shift, growth and turn; compiled by numba."""

import numpy as np
from numba import njit

PLAIN = 4.0  # texture (squared gradient per px) of a patch that is believed half
SCALES_PX = (2.0, 1.0, 0.5, 0.5)  # how far off a patch may be that is still believed half, round by round
RING = 0.62  # of half a side: farther out lies the ring with which one attempt begins
STIFF = 0.0005  # say of "it neither grows nor turns", against 1 for all patches together


@njit(cache=True, nogil=True)
def fit_similarity(flow, width, height, box):
    """Fit shift + turn (point - centre) to a flow in px, where turn = growth + i clockwise angle.

    A patch has a say along the gradients of its texture only, as far as it found itself, and the more the
    farther out it lies: what stands before a camera stands in the middle. What moves by itself loses its say,
    as the scale shrinks from round to round (Geman and McClure's weights). One attempt begins with the ring
    along the edges, one with a camera at rest; the one that leaves less wins.

    Args:
        flow: the rows of `patch_flow`.
        box: left, top, right, foot: patches not wholly within are left out.

    Returns:
        shift right and down; growth; turn; mean length of the flow, where patches without texture are taken
        to move with the camera; mean length of the flow that the camera does not explain, zero there; share
        of the patches with texture that go with the camera.
    """
    count = len(flow)
    half = max(width, height) / 2.0
    points = np.empty((count, 2))
    says = np.empty((count, 4))  # texture xx, xy, yy over their trace; say on the camera
    sure, rims = np.empty(count), np.empty(count)  # how far a patch is believed, 0 … 1; how far out it lies
    trust = all_sure = 0.0
    for k in range(count):
        x, y, xx, xy, yy, error = flow[k, 0], flow[k, 1], flow[k, 4], flow[k, 5], flow[k, 6], flow[k, 7]
        points[k, 0], points[k, 1] = (x - (width - 1) / 2) / half, (y - (height - 1) / 2) / half
        trace = max(float(xx + yy), 1e-6)
        inside = x - 3.5 >= box[0] and y - 3.5 >= box[1] and x + 4.5 <= box[2] and y + 4.5 <= box[3]
        says[k, 0], says[k, 1], says[k, 2] = xx / trace, xy / trace, yy / trace
        out = max(abs(x - (width - 1) / 2) / width, abs(y - (height - 1) / 2) / height) * 2
        rims[k] = out
        believed = trace / (trace + PLAIN + error) if error >= 0 and inside else 0.0
        says[k, 3] = believed * (0.1 + 1.8 * out * out)
        sure[k] = 4 * believed / (1 + 3 * believed)  # a quarter of the texture will do to be seen
        all_sure += sure[k]
        trust += says[k, 3]
    if trust <= 1e-9:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    ring, ring_cost = _attempt(flow, points, says, rims, trust, RING)
    rest, rest_cost = _attempt(flow, points, says, rims, trust, -1.0)
    best = ring if ring_cost < rest_cost else rest
    total = alone = going = 0.0
    for k in range(count):
        u, v = _way(best, points[k])
        off_u, off_v = flow[k, 2] - u, flow[k, 3] - v
        say = sure[k]
        total += np.hypot(u + say * off_u, v + say * off_v)
        alone += say * np.hypot(off_u, off_v)
        going += say / (1 + off_u * off_u + off_v * off_v)
    return best[0], best[1], best[2] / half, best[3] / half, total / count, alone / count, going / all_sure


@njit(cache=True, nogil=True)
def _way(fit, point):
    """The flow that a camera gives at a point."""
    return fit[0] + fit[2] * point[0] - fit[3] * point[1], fit[1] + fit[3] * point[0] + fit[2] * point[1]


@njit(cache=True, nogil=True)
def _attempt(flow, points, says, rims, trust, ring):
    """A fit (right, down, growth, turn) and the robust cost that it leaves.

    Patches farther out than `ring` make the first one; with a ring below zero, it is a camera at rest.
    """
    fit = np.zeros(4)
    cost, count = 0.0, len(flow)
    matrix = np.empty((4, 5))
    for turn in range(1 if ring < 0 else 0, len(SCALES_PX) + 2):
        scale = SCALES_PX[max(0, min(turn - 1, len(SCALES_PX) - 1))]
        matrix[:] = 0
        cost = 0.0
        for k in range(count):
            say = says[k, 3]
            if say <= 0:
                continue
            x, y = points[k, 0], points[k, 1]
            xx, xy, yy = says[k, 0], says[k, 1], says[k, 2]
            if turn == 0:
                weight = say if rims[k] >= ring else 0.0
            else:
                u, v = _way(fit, points[k])
                off_u, off_v = flow[k, 2] - u, flow[k, 3] - v
                off = (xx * off_u * off_u + 2 * xy * off_u * off_v + yy * off_v * off_v) / (scale * scale)
                weight = say / (1 + off) ** 2
                cost += say * off / (1 + off)
            _add(matrix, x, y, weight * xx, weight * xy, weight * yy, flow[k, 2], flow[k, 3])
        matrix[0, 0] += 1e-9
        matrix[1, 1] += 1e-9
        matrix[2, 2] += STIFF * trust
        matrix[3, 3] += STIFF * trust
        _solve(matrix, fit)
    return fit, cost


@njit(cache=True, nogil=True)
def _add(matrix, x, y, xx, xy, yy, u, v):
    """Add one patch to the normal equations; the flow's columns are (1, 0), (0, 1), (x, y), (-y, x)."""
    right, down = (1.0, 0.0, x, -y), (0.0, 1.0, y, x)
    for i in range(4):
        a, b = right[i] * xx + down[i] * xy, right[i] * xy + down[i] * yy
        for j in range(4):
            matrix[i, j] += a * right[j] + b * down[j]
        matrix[i, 4] += a * u + b * v


@njit(cache=True, nogil=True)
def _solve(matrix, fit):
    """Gauss's elimination; the matrix is positive."""
    for i in range(4):
        for j in range(i + 1, 4):
            share = matrix[j, i] / matrix[i, i]
            for k in range(i, 5):
                matrix[j, k] -= share * matrix[i, k]
    for i in range(3, -1, -1):
        total = matrix[i, 4]
        for k in range(i + 1, 4):
            total -= matrix[i, k] * fit[k]
        fit[i] = total / matrix[i, i]
