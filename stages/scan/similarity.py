"""Camera motion: a robust fit of shift, zoom and roll to an optical flow, compiled by numba."""

import numpy as np
import numpy.typing as npt
from numba import njit

from stages.scan.flow import SIDE

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]  # [h w]

HALF_CONFIDENCE_TEXTURE = (
    4.0  # structure tensor trace (squared gradient per px) of a patch with confidence 1/2
)
SCALES_PX = (2.0, 1.0, 0.5, 0.5)  # residual at which a patch keeps half its weight, one value per iteration
RING = 0.62  # share of half a side; the patches farther out start one of the two attempts
STIFFNESS = (
    0.0005  # weight of the prior "no zoom and no roll", relative to the weight of all patches together
)
REST_WEIGHT = 2.0  # weight of a patch that rests, when the patches vote whether the camera moves
NOISE_VARIANCE = 2.0  # squared luma difference that noise leaves; a patch with less difference has no vote


@njit(cache=True, nogil=True)
def fit_similarity(
    flow: npt.NDArray[np.float32], previous: Image, current: Image, box: tuple[int, int, int, int]
) -> tuple[float, float, float, float, float, float, float]:
    """Fit shift + turn (point - center) to a flow in px, where turn = growth + i clockwise angle.

    A patch counts only along its gradients, and in proportion to its confidence. Patches far from the center
    count more, because foreground objects are mostly in the center. Objects that move by themselves lose
    their weight as the scale shrinks from iteration to iteration (weights of Geman and McClure). One attempt
    starts with the patches along the edges, the other with a static camera; the lower robust cost wins.
    Last, `_is_static` decides whether the camera moves at all.

    Args:
        flow: Rows of `patch_flow`, float32 [n 8].
        previous, current: The images between which the flow was measured, float32 [h w].
        box: Left, top, right, bottom in px. Patches that are not completely inside are ignored.

    Returns:
        Shift to the right and down, px. Growth and clockwise angle (rad). Mean length of the flow in px,
        where patches without texture count as moving with the camera. Mean length in px of the flow that the
        camera does not explain; patches without texture count as 0. Share of the textured patches that move
        with the camera, 0 to 1.
    """
    count, (height, width) = len(flow), current.shape
    half = max(width, height) / 2.0
    points = np.empty((count, 2))  # patch centers, -1 to 1 along the longer side
    weights = np.empty((count, 4))  # structure tensor xx, xy, yy over its trace; weight in the fit
    confidences, radii = np.empty(count), np.empty(count)  # confidence 0 to 1; distance from the center
    total_weight = total_confidence = 0.0
    for k in range(count):
        x, y, xx, xy, yy, error = flow[k, 0], flow[k, 1], flow[k, 4], flow[k, 5], flow[k, 6], flow[k, 7]
        points[k, 0], points[k, 1] = (x - (width - 1) / 2) / half, (y - (height - 1) / 2) / half
        trace = max(float(xx + yy), 1e-6)
        inside = x - 3.5 >= box[0] and y - 3.5 >= box[1] and x + 4.5 <= box[2] and y + 4.5 <= box[3]
        weights[k, 0], weights[k, 1], weights[k, 2] = xx / trace, xy / trace, yy / trace
        radius = max(abs(x - (width - 1) / 2) / width, abs(y - (height - 1) / 2) / height) * 2
        radii[k] = radius
        belief = trace / (trace + HALF_CONFIDENCE_TEXTURE + error) if error >= 0 and inside else 0.0
        weights[k, 3] = belief * (0.1 + 1.8 * radius * radius)
        confidences[k] = 4 * belief / (1 + 3 * belief)  # a quarter of the texture is enough to be seen
        total_confidence += confidences[k]
        total_weight += weights[k, 3]
    if total_weight <= 1e-9:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    ring, ring_cost = _attempt(flow, points, weights, radii, total_weight, RING)
    static, static_cost = _attempt(flow, points, weights, radii, total_weight, -1.0)
    best = ring if ring_cost < static_cost else static
    if _is_static(flow, points, radii, best, previous, current, box):
        best[:] = 0
    length = unexplained = agreeing = 0.0
    for k in range(count):
        u, v = _camera_flow(best, points[k])
        off_u, off_v = flow[k, 2] - u, flow[k, 3] - v
        confidence = confidences[k]
        length += np.hypot(u + confidence * off_u, v + confidence * off_v)
        unexplained += confidence * np.hypot(off_u, off_v)
        agreeing += confidence / (1 + off_u * off_u + off_v * off_v)
    growth, turn = best[2] / half, best[3] / half
    return best[0], best[1], growth, turn, length / count, unexplained / count, agreeing / total_confidence


@njit(cache=True, nogil=True)
def _is_static(
    flow: npt.NDArray[np.float32],
    points: Floats,
    radii: Floats,
    fit: Floats,
    previous: Image,
    current: Image,
    box: tuple[int, int, int, int],
) -> bool:
    """Return whether the image shows a static camera behind an object, not the fitted camera.

    Each patch votes with its luma differences under the two cameras, and patches far from the center count
    more. So a plain wall, whose flow is unknown, votes against a textured object that moves in front of it.
    An object can explain patches that move, and little explains patches that rest: they count twice.
    """
    total = 0.0
    for k in range(len(flow)):
        u, v = _camera_flow(fit, points[k])
        x, y = int(flow[k, 0] - 3.5 + 0.25), int(flow[k, 1] - 3.5 + 0.25)
        right, down = int(np.rint(u)), int(np.rint(v))
        left, top = min(x, x + right), min(y, y + down)
        if left < box[0] or top < box[1] or max(x, x + right) + SIDE > box[2]:
            continue
        if max(y, y + down) + SIDE > box[3] or (right == 0 and down == 0):
            continue
        rest = moved = 0.0
        for r in range(y, y + SIDE):
            for c in range(x, x + SIDE):
                rest += (current[r, c] - previous[r, c]) ** 2
                moved += (current[r + down, c + right] - previous[r, c]) ** 2
        rest, moved = rest / SIDE**2, moved / SIDE**2
        vote = min(1.0, radii[k] / RING) ** 2 * (rest - moved) / (rest + moved + NOISE_VARIANCE)
        total += vote if vote > 0 else REST_WEIGHT * vote
    return total < 0


@njit(cache=True, nogil=True)
def _camera_flow(fit: Floats, point: Floats) -> tuple[float, float]:
    """Return the flow (right, down) of a camera at a point."""
    return fit[0] + fit[2] * point[0] - fit[3] * point[1], fit[1] + fit[3] * point[0] + fit[2] * point[1]


@njit(cache=True, nogil=True)
def _attempt(
    flow: npt.NDArray[np.float32],
    points: Floats,
    weights: Floats,
    radii: Floats,
    total_weight: float,
    ring: float,
) -> tuple[Floats, float]:
    """Fit (right, down, growth, turn) by iteratively reweighted least squares; return it and its robust cost.

    The first fit uses only the patches farther out than `ring`. With a negative `ring`, the first fit is a
    static camera.
    """
    fit = np.zeros(4)
    cost, count = 0.0, len(flow)
    matrix = np.empty((4, 5))
    for iteration in range(1 if ring < 0 else 0, len(SCALES_PX) + 2):
        scale = SCALES_PX[max(0, min(iteration - 1, len(SCALES_PX) - 1))]
        matrix[:] = 0
        cost = 0.0
        for k in range(count):
            prior = weights[k, 3]
            if prior <= 0:
                continue
            x, y = points[k, 0], points[k, 1]
            xx, xy, yy = weights[k, 0], weights[k, 1], weights[k, 2]
            if iteration == 0:
                weight = prior if radii[k] >= ring else 0.0
            else:
                u, v = _camera_flow(fit, points[k])
                off_u, off_v = flow[k, 2] - u, flow[k, 3] - v
                off = (xx * off_u * off_u + 2 * xy * off_u * off_v + yy * off_v * off_v) / (scale * scale)
                weight = prior / (1 + off) ** 2
                cost += prior * off / (1 + off)
            _add_patch(matrix, x, y, weight * xx, weight * xy, weight * yy, flow[k, 2], flow[k, 3])
        matrix[0, 0] += 1e-9
        matrix[1, 1] += 1e-9
        matrix[2, 2] += STIFFNESS * total_weight
        matrix[3, 3] += STIFFNESS * total_weight
        _solve(matrix, fit)
    return fit, cost


@njit(cache=True, nogil=True)
def _add_patch(
    matrix: Floats, x: float, y: float, xx: float, xy: float, yy: float, u: float, v: float
) -> None:
    """Add one patch to the normal equations [4 5]; the basis flows are (1, 0), (0, 1), (x, y), (-y, x)."""
    right, down = (1.0, 0.0, x, -y), (0.0, 1.0, y, x)
    for i in range(4):
        a, b = right[i] * xx + down[i] * xy, right[i] * xy + down[i] * yy
        for j in range(4):
            matrix[i, j] += a * right[j] + b * down[j]
        matrix[i, 4] += a * u + b * v


@njit(cache=True, nogil=True)
def _solve(matrix: Floats, solution: Floats) -> None:
    """Solve the positive definite system [4 5] by Gaussian elimination; write the result to `solution`."""
    for i in range(4):
        for j in range(i + 1, 4):
            factor = matrix[j, i] / matrix[i, i]
            for k in range(i, 5):
                matrix[j, k] -= factor * matrix[i, k]
    for i in range(3, -1, -1):
        total = matrix[i, 4]
        for k in range(i + 1, 4):
            total -= matrix[i, k] * solution[k]
        solution[i] = total / matrix[i, i]
